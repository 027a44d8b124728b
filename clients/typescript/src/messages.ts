/**
 * What arrives, as types told apart by `type`. Times are RFC 3339 in UTC: `timestamp` to the second, `time` to the
 * microsecond. Prices are in the currency of the exchange, as traded.
 */

/** What every record of a symbol carries. `seq` counts 1, 2, 3 ... within `epoch`; epochs sort by age. */
export interface SymbolRecord {
  readonly symbol: string;
  readonly epoch: string;
  readonly seq: number;
  readonly time: string;
  readonly source: string;
  /** Is it old, by the clock of its source? */
  readonly stale: boolean;
  /** How many records of the symbol were merged into this one, by the server or in this client's queue. */
  readonly conflated: number;
  /** It shows how things stood when you came, and is no news. */
  readonly snapshot?: boolean;
}

/** A trade. */
export interface Price extends SymbolRecord {
  readonly type: "stock_price_update";
  readonly price: number;
  readonly timestamp: string;
  /** Shares of this trade; null where unknown. */
  readonly volume: number | null;
  readonly kind: "trade";
  readonly trade_id?: string;
}

/** Buy, sell or hold, decided at the record `seq`. `prev_seq` names the symbol's prediction before. */
export interface Prediction extends SymbolRecord {
  readonly type: "prediction_update";
  readonly prediction: "buy" | "sell" | "hold";
  readonly timestamp: string;
  readonly prev_seq: number;
  /** Probability that `direction` is right, 0.1 to 1.0; 0.5 = no evidence. */
  readonly confidence: number;
  readonly horizon: string;
  readonly price_target: number;
  readonly direction: "bullish" | "bearish";
  readonly interval: { readonly low: number; readonly high: number; readonly coverage: number } | null;
  readonly model_version: string;
  /** What such predictions were worth so far, beside the baseline; null where nobody knows yet. */
  readonly skill: Skill | null;
  readonly valid_until: string;
  /** A word that says why it is a hold nevertheless. */
  readonly reason: string | null;
}

export interface Skill {
  readonly count: number;
  readonly hit_rate: number;
  readonly hit_rate_interval: readonly [number, number];
  readonly baseline_hit_rate: number;
  readonly mae: number;
  readonly baseline_mae: number;
}

/** Open, high, low, close and volume of one interval. `final`: no later trade can change it. */
export interface Bar extends SymbolRecord {
  readonly type: "bar";
  readonly timeframe: string;
  readonly start: string;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  readonly final: boolean;
  readonly date: string;
}

/** Each old share became `ratio` new ones from the session `effective` on: divide older prices by it. */
export interface Split extends SymbolRecord {
  readonly type: "split";
  readonly ratio: number;
  readonly effective: string;
}

/** The trade `of_seq` was wrong: it is now `price`, or cancelled (null). */
export interface Correction extends SymbolRecord {
  readonly type: "correction";
  readonly of_seq: number;
  readonly price: number | null;
}

/**
 * Said by this client: something of `symbol` is missing here, and can't be had any more. `not_recovered`: behind a
 * reconnect the server could not prove that nothing was lost (a snapshot follows); `missing`: two don't join.
 */
export interface Gap {
  readonly type: "gap";
  readonly symbol: string;
  /** `records`: prices, bars, splits, corrections; null: maybe both. */
  readonly kind: "records" | "predictions" | null;
  readonly reason: "not_recovered" | "missing";
  readonly epoch: string;
  /** The last one that is surely there; null where there was none. */
  readonly after_seq: number | null;
}

/** The server refused something that was asked for, and won't do it; all else goes on. */
export interface ErrorMessage {
  readonly type: "error";
  /** A stable word: `unknown_symbol`, `too_many_symbols` ... */
  readonly code: string;
  readonly message: string;
  /** What it is about. */
  readonly symbols: readonly string[];
}

/** One of your alerts fired. */
export interface AlertTriggered {
  readonly type: "alert_triggered";
  readonly id: string;
  readonly alert_id: string;
  readonly symbol: string;
  readonly condition: string;
  readonly threshold: number | null;
  readonly price: number;
  readonly message: string;
  readonly timestamp: string;
}

/** Something about your account changed, `password_changed` for one. */
export interface AccountUpdate {
  readonly type: "account_update";
  readonly id: string;
  readonly event: string;
  readonly timestamp: string;
}

export type MarketRecord = Price | Prediction | Bar | Split | Correction;
export type MarketMessage = MarketRecord | Gap | ErrorMessage;
export type Notification = AlertTriggered | AccountUpdate;
export type NotificationMessage = Notification | ErrorMessage;

/** All that the server says. */
export type ServerMessage =
  | MarketRecord
  | Notification
  | Refusal
  | { readonly type: "resumed"; readonly symbol: string; readonly recovered: boolean }
  | { readonly type: "subscribed"; readonly id?: string; readonly symbols: readonly string[] }
  | { readonly type: "acked"; readonly id?: string }
  | { readonly type: "ping" | "pong" | "rate_set" | "authenticated" | "token_expiring" };

/** What was said with this `id` is not done. */
export interface Refusal {
  readonly type: "error";
  readonly id?: string;
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

/** What a client says. */
export type ClientMessage =
  | { type: "subscribe" | "unsubscribe"; id: string; symbols: string[] }
  | { type: "resume"; id: string; positions: Record<string, SeenPosition> }
  | { type: "set_rate"; max_per_second: number }
  | { type: "ack"; id: string; notification_ids: string[] }
  | { type: "auth"; token: string }
  | { type: "pong" };

/** The last record (`price`) and prediction seen of one symbol; a kind that isn't named is not replayed. */
export interface SeenPosition {
  epoch: string;
  price: number;
  prediction?: number;
}
