import type { ClientMessage } from "./messages.js";

/** So many ids go into one frame. */
const MOST_IDS = 100;
/** Not answered in that time: the server could not mark them, and wants to be told again. */
const AGAIN_MS = 5_000;

type Told = (marked: boolean) => void;

/** Says which notifications are read, one frame at a time, until the server confirms. */
export class Acks {
  readonly #say: (message: ClientMessage) => void;
  readonly #waiting = new Map<string, Told[]>();
  #asked: { readonly id: string; readonly ids: readonly string[] } | undefined;
  #count = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #over = false;

  constructor(say: (message: ClientMessage) => void) {
    this.#say = say;
  }

  /** Resolves when these are marked as read: true; or when the stream has ended before: false. */
  add(ids: readonly string[]): Promise<boolean> {
    if (this.#over) return Promise.resolve(false);
    const marked = ids.map(
      (id) => new Promise<boolean>((told) => this.#waiting.set(id, [...(this.#waiting.get(id) ?? []), told])),
    );
    queueMicrotask(() => this.#asked ?? this.again()); // several calls in a row share a frame
    return Promise.all(marked).then((all) => all.every(Boolean));
  }

  /** Says what is not confirmed yet: on a new connection, or when no answer came. */
  again(): void {
    clearTimeout(this.#timer);
    this.#asked = undefined;
    const ids = [...this.#waiting.keys()].slice(0, MOST_IDS);
    if (ids.length === 0 || this.#over) return;
    this.#asked = { id: `ack-${++this.#count}`, ids };
    this.#say({ type: "ack", id: this.#asked.id, notification_ids: ids });
    this.#timer = setTimeout(() => this.again(), AGAIN_MS);
  }

  /** The server's answer to frame `id`: confirmed, or refused for good. */
  answered(id: string | undefined, marked: boolean): void {
    if (id === undefined || id !== this.#asked?.id) return;
    for (const each of this.#asked.ids) this.#tell(each, marked);
    this.again();
  }

  close(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    for (const id of [...this.#waiting.keys()]) this.#tell(id, false);
  }

  #tell(id: string, marked: boolean): void {
    for (const told of this.#waiting.get(id) ?? []) told(marked);
    this.#waiting.delete(id);
  }
}
