import { BACKOFF, type Backoff } from "./backoff.js";
import type { Retry } from "./link.js";
import { MarketStream } from "./market.js";
import { NotificationStream } from "./notifications.js";
import type { ReaderOptions } from "./reader.js";
import { PATIENCE, type Patience, type WebSocketClass } from "./socket.js";
import { Tokens, type TokenSource } from "./tokens.js";

export interface TickroomOptions {
  /** An access token, or a function that brings one; asked again when the last is refused or expires. */
  token?: TokenSource;
  /** For Node below 22: `import WebSocket from "ws"`. */
  WebSocket?: WebSocketClass;
  /** Ends every stream; their iteration throws its reason. */
  signal?: AbortSignal;
  /** Messages of one stream that wait as they came. Default 1,000. */
  maxQueue?: number;
  /** How long to wait before coming back. */
  backoff?: Partial<Backoff>;
  /** Attempts in a row before giving up with a TickroomError. Default: never. */
  maxAttempts?: number;
  /** How long to wait for a connection to open, to say something and to close. */
  patienceMs?: Partial<Patience>;
  /** Told whenever a connection was lost and when the next one is tried. */
  onRetry?: (retry: Retry) => void;
}

export interface StreamOptions {
  signal?: AbortSignal;
}

export interface MarketOptions extends StreamOptions {
  /** At most so many prices of each symbol a second; 0 = as they come. */
  maxPerSecond?: number;
}

export interface NotificationOptions extends StreamOptions {
  /** Default: whom the token belongs to. */
  userId?: string;
}

/** A Tickroom server. Each stream has one connection of its own, for as many symbols as you like. */
export class Tickroom {
  readonly #options: TickroomOptions;
  readonly #tokens: Tokens;
  readonly #base: string;
  readonly #WebSocket: WebSocketClass;
  readonly #closing = new AbortController();

  /** @param url `https://host`, `ws://localhost:8000`, in a page also `/` */
  constructor(url: string | URL, options: TickroomOptions = {}) {
    const WebSocket = options.WebSocket ?? globalThis.WebSocket;
    if (!WebSocket) throw new TypeError('there is no WebSocket here: pass one, as in `import WebSocket from "ws"`');
    this.#WebSocket = WebSocket;
    this.#options = options;
    this.#tokens = new Tokens(options.token);
    this.#base = socketBase(url);
  }

  /** What happens to these symbols; without any, to all of them. */
  stream(...asked: string[] | [...string[], MarketOptions]): MarketStream {
    const last = asked.at(-1);
    const options = typeof last === "object" ? last : {};
    const symbols = (asked as unknown[]).filter((each) => typeof each === "string");
    return new MarketStream(this.#reading(options), symbols, options.maxPerSecond ?? 0);
  }

  /** The notifications of whom the token belongs to. */
  notifications(options: NotificationOptions = {}): NotificationStream {
    return new NotificationStream(this.#reading(options), options.userId);
  }

  /** Ends every stream: what waits is dropped and their iterations end. */
  close(): void {
    this.#closing.abort();
  }

  #reading({ signal }: StreamOptions): ReaderOptions {
    const { maxQueue = 1_000, backoff, maxAttempts = Infinity, patienceMs, onRetry } = this.#options;
    return {
      base: this.#base,
      WebSocket: this.#WebSocket,
      tokens: this.#tokens,
      maxQueue,
      backoff: { ...BACKOFF, ...backoff },
      maxAttempts,
      patience: { ...PATIENCE, ...patienceMs },
      onRetry,
      closing: this.#closing.signal,
      signals: [this.#options.signal, signal].filter((each) => each !== undefined),
    };
  }
}

/** `ws://host/path` without a slash at the end. */
function socketBase(url: string | URL): string {
  const base = new URL(url, globalThis.location?.href);
  const scheme = { "http:": "ws:", "https:": "wss:", "ws:": "ws:", "wss:": "wss:" }[base.protocol];
  if (!scheme) throw new TypeError(`${String(url)} is no address of a Tickroom: http(s) or ws(s)`);
  return `${scheme}//${base.host}${base.pathname.replace(/\/+$/, "")}`;
}
