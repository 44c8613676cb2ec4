import { createServer, connect, type AddressInfo, type Socket } from "node:net";
import fc from "fast-check";
import { createBag, writeAsOne } from "openfaas-node";
import { describe, expect, test } from "vitest";

async function pair(): Promise<{ sender: Socket; received(): Promise<Buffer>; close(): void }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const sender = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [receiver] = await Promise.all([
    new Promise<Socket>((resolve) => server.once("connection", resolve)),
    new Promise((resolve) => sender.once("connect", resolve)),
  ]);
  const chunks: Buffer[] = [];
  receiver.on("data", (chunk: Buffer) => chunks.push(chunk));
  const received = async () => {
    await new Promise((resolve) => receiver.once("end", resolve));
    return Buffer.concat(chunks);
  };
  return { sender, received, close: () => server.close() };
}

const piece = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => ({ bytes: Buffer.from(bytes), text: undefined })),
  fc.uint8Array({ maxLength: 50 }).map((bytes) => ({ bytes: Buffer.from(bytes), text: Buffer.from(bytes).toString("latin1") })),
);

describe("writeAsOne()", () => {
  test("sends the bytes of all pieces in their order, small or large, whatever their encoding", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(piece, { maxLength: 6 }), { maxLength: 6 }), fc.boolean(), fc.boolean(), async (turns, large, text) => {
        const { sender, received, close } = await pair();
        const arrived = received();
        writeAsOne(sender);
        const sent: Buffer[] = [];
        for (const pieces of turns) {
          sender.cork();
          for (const { bytes, text: latin1 } of pieces) {
            if (latin1 === undefined) sender.write(bytes);
            else sender.write(latin1, "latin1");
            sent.push(bytes);
          }
          if (large) sent.push(Buffer.alloc(100_000, 7));
          if (large) sender.write(sent.at(-1)!);
          if (text) sent.push(Buffer.from("é€"));
          if (text) sender.write("é€", "utf8");
          sender.uncork();
        }
        sender.end();
        expect((await arrived).equals(Buffer.concat(sent))).toBe(true);
        close();
      }),
      { numRuns: 40 },
    );
  });

  test("hands small pieces over as one", async () => {
    const { sender, close } = await pair();
    writeAsOne(sender);
    const writes: unknown[] = [];
    const write = sender._write.bind(sender);
    sender._write = (chunk, encoding, done) => {
      writes.push(chunk);
      write(chunk, encoding, done);
    };
    sender.write("first");
    sender.cork();
    sender.write("1f\r\n", "latin1");
    sender.write(Buffer.from([0, 255]));
    sender.uncork();
    expect(writes).toEqual(["first", "1f\r\n\u0000\u00ff"]);
    sender.destroy();
    close();
  });
});

describe("createBag()", () => {
  test("holds what was put in and not taken out", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 30 }), { maxLength: 200 }), (steps) => {
        const bag = createBag<number>();
        const model = new Map<number, () => void>();
        for (const step of steps) {
          const takeOut = model.get(step);
          if (takeOut) {
            takeOut();
            model.delete(step);
          } else model.set(step, bag.add(step));
          expect(bag.size).toBe(model.size);
          expect([...bag].toSorted()).toEqual([...model.keys()].toSorted());
        }
      }),
    );
  });
});
