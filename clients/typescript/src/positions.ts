import type { Gap, MarketRecord, SeenPosition } from "./messages.js";

type Kind = "records" | "predictions";

/** The last one seen of one kind. `rejoins`: the next one need not follow it. */
interface Sequence {
  epoch: string;
  seq: number;
  rejoins: boolean;
}

interface Seen {
  readonly records: Sequence;
  readonly predictions: Sequence;
  /** The server was told where we stand and has not answered: what comes now will come again. */
  awaited: boolean;
  /** Since this symbol was named, or not recovered, its snapshot may jump. */
  fresh: boolean;
}

/**
 * Where each symbol stands: drops repeats and finds gaps. Pure.
 *
 * Records other than predictions count in one sequence and say in `conflated` how many were merged into them;
 * predictions name the one before. A new epoch begins at 1.
 */
export class Positions {
  readonly #seen = new Map<string, Seen>();

  /** What to resume from on a new connection. Nothing of these symbols counts until it is `resumed`. */
  reconnected(): Map<string, SeenPosition> {
    const positions = new Map<string, SeenPosition>();
    for (const [symbol, seen] of this.#seen) {
      seen.awaited = seen.records.seq > 0;
      seen.fresh = !seen.awaited;
      if (seen.awaited) positions.set(symbol, position(seen));
    }
    return positions;
  }

  /** The server's answer. Returns the gap that it admits. */
  resumed(symbol: string, recovered: boolean): Gap | undefined {
    const seen = this.#seen.get(symbol);
    if (!seen?.awaited) return undefined;
    seen.awaited = false;
    if (recovered) return undefined;
    seen.fresh = seen.records.rejoins = seen.predictions.rejoins = true;
    return gap(symbol, null, "not_recovered", seen.records);
  }

  /** Is `record` to be dropped, and is something missing before it? */
  note(record: MarketRecord): { readonly repeat: boolean; readonly gap?: Gap } {
    const seen = this.#of(record.symbol);
    const kind: Kind = record.type === "prediction_update" ? "predictions" : "records";
    const last = seen[kind];
    if (seen.awaited) return { repeat: true };
    if (!isAfter(record, last)) {
      if (record.snapshot) last.rejoins = false; // here it stands, so the next one follows it
      return { repeat: true };
    }
    const whole = last.rejoins || (seen.fresh && (record.snapshot || last.seq === 0)) || follows(record, last);
    const missing = whole ? {} : { gap: gap(record.symbol, kind, "missing", last) };
    seen[kind].rejoins = false;
    seen[kind].epoch = record.epoch;
    seen[kind].seq = record.seq;
    return { repeat: false, ...missing };
  }

  /** Only these are of interest any more. */
  keep(wanted: { has(symbol: string): boolean }): void {
    for (const symbol of [...this.#seen.keys()]) if (!wanted.has(symbol)) this.#seen.delete(symbol);
  }

  #of(symbol: string): Seen {
    let seen = this.#seen.get(symbol);
    if (!seen) {
      const nothing = { epoch: "", seq: 0, rejoins: false };
      seen = { records: { ...nothing }, predictions: nothing, awaited: false, fresh: true };
      this.#seen.set(symbol, seen);
    }
    return seen;
  }
}

function isAfter(record: MarketRecord, last: Sequence): boolean {
  return record.epoch > last.epoch || (record.epoch === last.epoch && record.seq > last.seq);
}

function follows(record: MarketRecord, last: Sequence): boolean {
  const before = record.epoch === last.epoch ? last.seq : 0;
  if (record.type === "prediction_update") return record.prev_seq === before;
  return record.seq - 1 - record.conflated <= before;
}

/** Both kinds share one epoch, the records': of predictions that are of another one, none was seen in this. */
function position({ records, predictions }: Seen): SeenPosition {
  const { epoch, seq } = records;
  if (predictions.seq === 0) return { epoch, price: seq };
  return { epoch, price: seq, prediction: predictions.epoch === epoch ? predictions.seq : 0 };
}

function gap(symbol: string, kind: Kind | null, reason: Gap["reason"], last: Sequence): Gap {
  return { type: "gap", symbol, kind, reason, epoch: last.epoch, after_seq: last.seq || null };
}
