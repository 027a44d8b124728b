/** The running Tickroom at TICKROOM_URL: accounts, REST, and a line to it that can be cut. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

import WebSocket from "ws";

import { Tickroom, type TickroomOptions } from "../../src/index.js";

export const HOUSE = process.env["TICKROOM_URL"] ?? "";
assert.ok(HOUSE, "TICKROOM_URL says where a Tickroom runs");

export function client(options: TickroomOptions = {}, url = HOUSE): Tickroom {
  return new Tickroom(url, { WebSocket, backoff: { baseMs: 5, maxMs: 50, resetAfterMs: 1 }, ...options });
}

export interface Person {
  user_id: string;
  token: string;
  refresh_token: string;
}

/** Somebody new with an account. */
export async function register(): Promise<Person> {
  const email = `${randomUUID()}@example.org`;
  const body = { name: "Ada", email, password: "correct horse battery staple" };
  return (await ask("POST", "/api/users/register", body)) as Person;
}

/** The answer's JSON; fails where it is no success. */
export async function ask(method: string, path: string, body?: object, token?: string): Promise<unknown> {
  const form = body instanceof URLSearchParams;
  const reply = await fetch(HOUSE + path, {
    method,
    headers: {
      ...(body && !form && { "Content-Type": "application/json" }),
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
    },
    ...(body && { body: form ? body : JSON.stringify(body) }),
  });
  const text = await reply.text();
  assert.ok(reply.ok, `${method} ${path}: ${reply.status} ${text}`);
  return text && JSON.parse(text);
}

/** A TCP line to the house. */
export class Wire {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    const { hostname, port } = new URL(HOUSE);
    this.#server = createServer((near) => {
      const far = connect(Number(port), hostname);
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(one);
        one.pipe(other);
        one.on("error", () => undefined);
        one.on("close", () => {
          this.#sockets.delete(one);
          other.destroy();
        });
      }
    });
  }

  static async lay(): Promise<Wire> {
    const wire = new Wire();
    wire.#server.listen(0, "127.0.0.1");
    await once(wire.#server, "listening");
    return wire;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Everything on it is gone without a word. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.#server.close();
    this.cut();
  }
}
