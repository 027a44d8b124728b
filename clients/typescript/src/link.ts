import { isFinal, retryDelay, type Backoff } from "./backoff.js";
import { TickroomError } from "./errors.js";
import type { ClientMessage, ServerMessage } from "./messages.js";
import { listen, PROTOCOL, type Closing, type Patience, type WebSocketClass, type WebSocketLike } from "./socket.js";
import { Speaker } from "./speaker.js";
import type { Tokens } from "./tokens.js";

/** Why and when a stream comes back. */
export interface Retry {
  /** 1 for the first one after a good connection. */
  readonly attempt: number;
  readonly delayMs: number;
  readonly closeCode: number;
  readonly reason: string;
}

export interface LinkOptions {
  /** `ws://host:port`, with a path where a proxy adds one. */
  readonly base: string;
  readonly tokens: Tokens;
  readonly WebSocket: WebSocketClass;
  readonly backoff: Backoff;
  readonly maxAttempts: number;
  readonly patience: Patience;
  readonly onRetry: ((retry: Retry) => void) | undefined;
}

/** What one kind of stream does on its connections. */
export interface Room {
  /** Where to connect; asked each time. Throws TickroomError where there is nowhere to go. */
  path(token: string | undefined): string;
  /** The connection is open: first things to say. */
  greet(): void;
  hear(message: ServerMessage): void;
}

/** Keeps one room connected: comes back where that makes sense, and shows a token where there is one. */
export class Link {
  readonly #options: LinkOptions;
  readonly #room: Room;
  readonly #closing = new AbortController();
  #leaving = new AbortController();
  #speaker: Speaker | undefined;
  #paused = false;
  #held: { readonly until: Promise<void>; readonly release: () => void } | undefined;
  #shown: string | undefined;
  /** Why the token that was shown is worth nothing. */
  #refusal: TickroomError | undefined;
  /** A handshake failed and nobody said why: show the token in a first message, whose refusal has a close code. */
  #showsInside = false;

  constructor(options: LinkOptions, room: Room) {
    this.#options = options;
    this.#room = room;
  }

  /** Stays connected until `close`. Throws TickroomError for what coming back would not mend. */
  async run(): Promise<void> {
    let failures = 0;
    while (!this.#closing.signal.aborted) {
      const closing = await this.#attempt();
      if (this.#closing.signal.aborted) return;
      if (this.#paused) {
        this.#paused = false;
        await this.#held?.until;
        continue;
      }
      if (closing.livedMs >= this.#options.backoff.resetAfterMs) failures = 0;
      this.#judge(closing);
      failures += 1;
      if (failures > this.#options.maxAttempts) throw new TickroomError(closing.closeCode, closing.reason);
      await this.#wait(failures, closing);
    }
  }

  /** Says it where there is a connection; else `greet` will have to. */
  say(message: ClientMessage): void {
    this.#speaker?.say(message);
  }

  /** Gives this connection up for another one, later. */
  retry(): void {
    this.#leaving.abort();
  }

  /** Leaves until `release`. */
  hold(): void {
    if (this.#held) return;
    this.#paused = true;
    let release = (): void => undefined;
    const until = new Promise<void>((resolve) => (release = resolve));
    this.#held = { until, release };
    this.#leaving.abort();
  }

  release(): void {
    this.#held?.release();
    this.#held = undefined;
  }

  close(): void {
    this.#closing.abort();
    this.#leaving.abort();
    this.release();
  }

  async #attempt(): Promise<Closing> {
    this.#leaving = new AbortController();
    let token: string | undefined;
    try {
      token = await this.#token();
    } catch (error) {
      if (error instanceof TickroomError) throw error;
      return nowhere(String(error));
    }
    if (this.#leaving.signal.aborted) return nowhere("closed");
    this.#shown = token;
    const inside = this.#showsInside ? token : undefined;
    const protocols = token === undefined || inside !== undefined ? [PROTOCOL] : [PROTOCOL, `bearer.${token}`];
    const url = this.#options.base + this.#room.path(token);
    return this.#converse(new this.#options.WebSocket(url, protocols), inside);
  }

  /** The one to show. Throws the refusal of the last one where there is no other. */
  async #token(): Promise<string | undefined> {
    if (!this.#refusal) return this.#options.tokens.current();
    const token = await this.#options.tokens.insteadOf(this.#shown);
    if (token === undefined) throw this.#refusal;
    this.#refusal = undefined;
    return token;
  }

  /** @param inside the token to show in the first message */
  async #converse(socket: WebSocketLike, inside: string | undefined): Promise<Closing> {
    const speaker = new Speaker((text) => socket.send(text));
    const open = (): void => {
      this.#speaker = speaker;
      if (inside !== undefined) speaker.say({ type: "auth", token: inside });
      this.#room.greet();
    };
    const frame = (said: unknown): void => this.#hear(said as ServerMessage | ServerMessage[]);
    const closing = await listen(socket, { open, frame }, this.#leaving.signal, this.#options.patience);
    speaker.stop();
    this.#speaker = undefined;
    if (!closing.opened) this.#showsInside = closing.closeCode === 1006 && !this.#showsInside;
    return closing;
  }

  #hear(said: ServerMessage | ServerMessage[]): void {
    for (const message of Array.isArray(said) ? said : [said]) {
      if (this.#leaving.signal.aborted) return; // the rest will come again
      if (message.type === "ping") this.say({ type: "pong" });
      else if (message.type === "token_expiring") void this.#renew();
      else this.#room.hear(message);
    }
  }

  /** Without a fresh token the server will close with 4401, and that is dealt with there. */
  async #renew(): Promise<void> {
    const speaker = this.#speaker;
    const token = await this.#options.tokens.insteadOf(this.#shown).catch(() => undefined);
    if (token === undefined || speaker !== this.#speaker) return;
    this.#shown = token;
    speaker?.say({ type: "auth", token });
  }

  /** Throws where it is of no use to come back. */
  #judge({ closeCode, reason }: Closing): void {
    if (!isFinal(closeCode)) return;
    const error = new TickroomError(closeCode, reason);
    if (closeCode !== 4401 || !this.#options.tokens.renewable) throw error;
    this.#refusal = error;
  }

  #wait(failures: number, { closeCode, reason, retryAfterMs }: Closing): Promise<void> {
    const { backoff, onRetry } = this.#options;
    const renews = this.#refusal !== undefined && failures === 1;
    const delayMs = renews ? 0 : retryDelay(failures - 1, backoff, Math.random(), retryAfterMs);
    onRetry?.({ attempt: failures, delayMs, closeCode, reason });
    const { signal } = this.#closing;
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, delayMs);
      signal.addEventListener("abort", done);
      if (signal.aborted) done();
    });
  }
}

/** How an attempt ends that did not get as far as a socket. */
function nowhere(reason: string): Closing {
  return { closeCode: 1006, reason, retryAfterMs: 0, opened: false, livedMs: 0 };
}
