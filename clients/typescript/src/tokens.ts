/**
 * A token, or who brings one. `old` is the one that the server takes no more, or soon won't: bring another.
 * What it throws counts as a failed attempt to connect, save a TickroomError, which ends the stream.
 */
export type TokenSource = string | ((old?: string) => string | Promise<string>);

/** The token of one client, shared by its streams: however many need another one, the source is asked once. */
export class Tokens {
  readonly #source: TokenSource | undefined;
  #token: string | undefined;
  #asking: Promise<string> | undefined;

  constructor(source: TokenSource | undefined) {
    this.#source = source;
    if (typeof source === "string") this.#token = source;
  }

  /** Can there be another one? */
  get renewable(): boolean {
    return typeof this.#source === "function";
  }

  /** The one to connect with; undefined: none. */
  async current(): Promise<string | undefined> {
    return this.#token ?? this.#ask(undefined);
  }

  /** Another one than `old`; undefined: there is none. */
  async insteadOf(old: string | undefined): Promise<string | undefined> {
    const token = this.#token !== undefined && this.#token !== old ? this.#token : await this.#ask(old);
    return token === old ? undefined : token;
  }

  async #ask(old: string | undefined): Promise<string | undefined> {
    const source = this.#source;
    if (typeof source !== "function") return this.#token;
    this.#asking ??= (async () => source(old))().finally(() => (this.#asking = undefined));
    return (this.#token = await this.#asking);
  }
}

/** Whose token it is: the claim `sub`, unverified; undefined where there is none. */
export function ownerOf(token: string): string | undefined {
  try {
    const payload = (token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(payload), (each) => each.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as { sub?: unknown };
    return typeof claims.sub === "string" ? claims.sub : undefined;
  } catch {
    return undefined;
  }
}
