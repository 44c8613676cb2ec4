/** A real mail relay on loopback, which says no when it is told to. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { SMTPServer } from "smtp-server";

/** What the relay took. */
export interface Taken {
  from: string;
  to: string[];
  head: string;
  body: string;
}

export interface Relay {
  port: number;
  taken: Taken[];
  refuse: boolean;
  close(): Promise<void>;
}

export async function startRelay(): Promise<Relay> {
  const state = { taken: [] as Taken[], refuse: false };
  const server = new SMTPServer({
    disabledCommands: ["AUTH", "STARTTLS"],
    closeTimeout: 100,
    async onData(stream, session, done) {
      const message = await text(stream);
      if (state.refuse) return done(Object.assign(new Error("busy"), { responseCode: 451 }));
      const end = message.indexOf("\r\n\r\n");
      const { mailFrom, rcptTo } = session.envelope;
      state.taken.push({
        from: mailFrom ? mailFrom.address : "",
        to: rcptTo.map(({ address }) => address),
        head: message.slice(0, end),
        body: message.slice(end + 4),
      });
      done();
    },
  });
  server.on("error", () => {});
  server.listen(0, "127.0.0.1");
  await once(server.server, "listening");
  return Object.assign(state, {
    port: (server.server.address() as AddressInfo).port,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  });
}
