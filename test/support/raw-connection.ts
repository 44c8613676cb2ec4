/** A caller that speaks HTTP by hand: what a client library would never send, or never do. */
import { connect, type Socket } from "node:net";
import { waitFor } from "./wait.ts";

export interface RawConnection {
  socket: Socket;
  /** Everything that came so far. */
  received(): string;
  /** Whether the other side has ended or broken the connection. */
  closed(): boolean;
  send(text: string): void;
  /** Settles with everything received once that holds `text`. */
  until(text: string): Promise<string>;
  /** Settles with everything received once the other side has ended the connection. */
  untilClosed(): Promise<string>;
}

export async function dial(port: number): Promise<RawConnection> {
  const socket = connect(port, "127.0.0.1");
  let received = "";
  let closed = false;
  socket.setEncoding("latin1");
  socket.on("data", (text: string) => {
    received += text;
  });
  socket.on("error", () => {});
  for (const end of ["end", "close"]) socket.on(end, () => (closed = true));
  await new Promise((resolve) => socket.once("connect", resolve));
  return {
    socket,
    received: () => received,
    closed: () => closed,
    send: (text) => void socket.write(text, "latin1"),
    until: (text) => waitFor(`an answer with ${JSON.stringify(text)}`, () => received.includes(text) && received),
    async untilClosed() {
      await waitFor("the connection's end", () => closed);
      return received;
    },
  };
}
