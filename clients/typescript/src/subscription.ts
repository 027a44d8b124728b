import type { ClientMessage } from "./messages.js";

/** How many symbols go into one frame: the server takes 64 KiB. */
const MOST_NAMED = 2_000;

type Named = Extract<ClientMessage, { symbols: string[] }>;

/**
 * The list of symbols that a stream wants, and what has to be said so that the server has the same one. Pure.
 *
 * The server refuses a frame as a whole for one bad symbol, so that is halved until the bad one stands alone.
 */
export class Subscription {
  /** As they were named, which need not be what the server calls them. undefined: everything. */
  #wanted: Set<string> | undefined;
  readonly #accepted = new Set<string>();
  readonly #muted = new Set<string>();
  readonly #asked = new Map<string, Named>();
  #ids = 0;

  constructor(symbols: readonly string[]) {
    if (symbols.length > 0) this.#wanted = new Set(unique(symbols));
  }

  /** Has the server answered all that was said? */
  get settled(): boolean {
    return this.#asked.size === 0;
  }

  /** Is `symbol` unsubscribed, and the server does not know yet? */
  mutes(symbol: string): boolean {
    return this.#muted.has(symbol);
  }

  /** On a new connection. What was accepted before comes by itself: nothing new can spoil it. */
  greet(): Named[] {
    this.#asked.clear();
    this.#muted.clear();
    if (!this.#wanted) return [];
    const accepted = [...this.#wanted].filter((symbol) => this.#accepted.has(symbol));
    const others = [...this.#wanted].filter((symbol) => !this.#accepted.has(symbol));
    return [...this.#subscribe(accepted), ...this.#subscribe(others), ...this.#nothing()];
  }

  /** From everything it is only these from here. */
  add(symbols: readonly string[]): Named[] {
    const wanted = (this.#wanted ??= new Set());
    const added = unique(symbols).filter((symbol) => !wanted.has(symbol));
    for (const symbol of added) wanted.add(symbol);
    return this.#subscribe(added);
  }

  remove(symbols: readonly string[]): Named[] {
    const wanted = this.#wanted;
    if (!wanted) throw new Error("this stream has everything, not a list: subscribe to what you want instead");
    const removed = unique(symbols).filter((symbol) => wanted.delete(symbol));
    for (const symbol of removed) {
      this.#accepted.delete(symbol);
      this.#muted.add(symbol);
    }
    return chunks(removed, MOST_NAMED).map((part) => this.#say("unsubscribe", part));
  }

  /** The server did what was said with this id. */
  confirmed(id: string | undefined): void {
    const { type, symbols } = this.#answered(id) ?? { symbols: [] };
    for (const symbol of symbols) {
      if (type === "unsubscribe") this.#muted.delete(symbol);
      else this.#accepted.add(symbol);
    }
  }

  /** The server refused that: what to say instead, and which symbols are given up. undefined: nothing of this list. */
  refused(id: string | undefined): { readonly say: Named[]; readonly givenUp: string[] } | undefined {
    const asked = this.#answered(id);
    if (!asked) return undefined;
    const still = asked.type === "subscribe" ? asked.symbols.filter((symbol) => this.#wanted?.has(symbol)) : [];
    if (still.length > 1) {
      const middle = still.length >> 1;
      return {
        say: [...this.#subscribe(still.slice(0, middle)), ...this.#subscribe(still.slice(middle))],
        givenUp: [],
      };
    }
    for (const symbol of still) this.#wanted?.delete(symbol);
    return { say: this.#nothing(), givenUp: still };
  }

  #subscribe(symbols: readonly string[]): Named[] {
    return chunks(symbols, MOST_NAMED).map((part) => this.#say("subscribe", part));
  }

  /** An empty list is a list too: without any, everything would come. */
  #nothing(): Named[] {
    return this.#wanted?.size === 0 ? [this.#say("subscribe", [])] : [];
  }

  #say(type: Named["type"], symbols: string[]): Named {
    const named = { type, id: `${type}-${++this.#ids}`, symbols };
    this.#asked.set(named.id, named);
    return named;
  }

  #answered(id = ""): Named | undefined {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    return asked;
  }
}

function unique(symbols: readonly string[]): string[] {
  return [...new Set(symbols.map((symbol) => symbol.trim().toUpperCase()))];
}

/** `items` in portions of at most `size`. */
export function chunks<T>(items: readonly T[], size: number): T[][] {
  const parts: T[][] = [];
  for (let at = 0; at < items.length; at += size) parts.push(items.slice(at, at + size));
  return parts;
}
