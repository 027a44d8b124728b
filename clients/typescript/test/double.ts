/** A server that says what a test tells it to, and remembers what it was told. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import WebSocket, { WebSocketServer } from "ws";

import { Tickroom, type Price, type Prediction, type TickroomOptions } from "../src/index.js";

type Frame = Record<string, unknown>;

/** One client that came, from the server's side. */
export class Visit {
  readonly said: Frame[] = [];
  closed: number | undefined;
  #wake = (): void => undefined;
  #read = 0;

  constructor(
    readonly socket: WebSocket,
    readonly request: IncomingMessage,
  ) {
    socket.on("message", (data) => {
      this.said.push(JSON.parse(String(data)) as Frame);
      this.#wake();
    });
    socket.on("close", (code) => {
      this.closed = code;
      this.#wake();
    });
  }

  get url(): string {
    return this.request.url ?? "";
  }

  get protocols(): string[] {
    return (this.request.headers["sec-websocket-protocol"] ?? "").split(",").map((each) => each.trim());
  }

  /** The next frame that the client says, which must be of that type. */
  async hears(type: string): Promise<Frame> {
    await this.#until(() => this.said.length > this.#read || this.closed !== undefined);
    const frame = this.said[this.#read++];
    assert.equal(frame?.["type"], type, `${JSON.stringify(frame)}, closed: ${this.closed}`);
    return frame;
  }

  /** The close code with which the client has left. */
  async left(): Promise<number> {
    await this.#until(() => this.closed !== undefined);
    return this.closed ?? 0;
  }

  say(...frames: object[]): void {
    for (const frame of frames) this.socket.send(JSON.stringify(frame));
  }

  /** Takes part in the greeting of a market stream with a list; returns the positions it shows. */
  async greets(): Promise<Frame> {
    const { id, symbols } = await this.hears("subscribe");
    this.say({ type: "subscribed", id, symbols });
    return (await this.hears("resume"))["positions"] as Frame;
  }

  async #until(met: () => boolean): Promise<void> {
    while (!met()) await new Promise<void>((resolve) => (this.#wake = resolve));
  }
}

export class Double {
  readonly #http: Server;
  readonly #server: WebSocketServer;
  readonly #visits: Visit[] = [];
  #wake = (): void => undefined;
  #met = 0;
  /** Answers the next handshakes by HTTP instead: status, headers, body. */
  readonly refusals: [number, Record<string, string>, string][] = [];

  private constructor() {
    this.#http = createServer();
    this.#server = new WebSocketServer({
      noServer: true,
      handleProtocols: (offered) => (offered.has("tickroom.v1") ? "tickroom.v1" : false),
    });
    this.#http.on("upgrade", (request, socket, head) => {
      const refusal = this.refusals.shift();
      if (refusal) {
        const [status, headers, body] = refusal;
        const lines = Object.entries({ ...headers, "Content-Length": body.length, Connection: "close" });
        socket.end(
          `HTTP/1.1 ${status} No\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body}`,
        );
        return;
      }
      this.#server.handleUpgrade(request, socket, head, (accepted) => {
        this.#visits.push(new Visit(accepted, request));
        this.#wake();
      });
    });
  }

  static async start(): Promise<Double> {
    const double = new Double();
    double.#http.listen(0, "127.0.0.1");
    await once(double.#http, "listening");
    return double;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  /** The next client that comes. */
  async visit(): Promise<Visit> {
    while (this.#visits.length <= this.#met) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#visits[this.#met++] as Visit;
  }

  get visits(): number {
    return this.#visits.length;
  }

  stop(): void {
    for (const client of this.#server.clients) client.terminate();
    this.#http.close();
    this.#http.closeAllConnections();
  }

  /** A client of it that comes back at once. */
  client(options: TickroomOptions = {}): Tickroom {
    return new Tickroom(this.url, { WebSocket, backoff: { baseMs: 1, maxMs: 5, resetAfterMs: 0 }, ...options });
  }
}

/** Runs `test` with a double of its own. */
export function withDouble(test: (double: Double) => Promise<void>): () => Promise<void> {
  return async () => {
    const double = await Double.start();
    try {
      await test(double);
    } finally {
      double.stop();
    }
  };
}

/** Reads a stream as fast as it can. */
export class Reading<M> {
  readonly all: M[] = [];
  error: unknown;
  #over = false;
  #wake = (): void => undefined;

  constructor(messages: AsyncIterable<M>) {
    void this.#read(messages);
  }

  /** The first so many messages. */
  async first(count: number): Promise<M[]> {
    while (this.all.length < count && !this.#over) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.all.slice(0, count);
  }

  /** All messages, when the stream has ended. `error`: what it threw. */
  async whole(): Promise<M[]> {
    return this.first(Infinity);
  }

  async #read(messages: AsyncIterable<M>): Promise<void> {
    try {
      for await (const message of messages) {
        this.all.push(message);
        this.#wake();
      }
    } catch (error) {
      this.error = error;
    }
    this.#over = true;
    this.#wake();
  }
}

export function price(seq: number, more: Partial<Price> = {}): Price {
  return {
    type: "stock_price_update",
    symbol: "AAPL",
    price: 100 + seq,
    timestamp: "2024-09-21T14:23:00Z",
    epoch: "e1",
    seq,
    time: "2024-09-21T14:23:00.000000Z",
    volume: null,
    source: "replay",
    kind: "trade",
    stale: false,
    conflated: 0,
    ...more,
  };
}

export function prediction(seq: number, prev_seq: number, more: Partial<Prediction> = {}): Prediction {
  return {
    type: "prediction_update",
    symbol: "AAPL",
    prediction: "buy",
    timestamp: "2024-09-21T14:23:00Z",
    epoch: "e1",
    seq,
    prev_seq,
    time: "2024-09-21T14:23:00.000000Z",
    confidence: 0.5,
    horizon: "1d",
    price_target: 100,
    direction: "bullish",
    interval: null,
    model_version: "m1",
    skill: null,
    valid_until: "2024-09-22T14:23:00.000000Z",
    reason: null,
    source: "replay",
    stale: false,
    conflated: 0,
    ...more,
  };
}

/** An unsigned token, as clients see it. */
export function token(claims: object): string {
  return `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.c2ln`;
}
