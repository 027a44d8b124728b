export type { Backoff } from "./backoff.js";
export {
  Tickroom,
  type MarketOptions,
  type NotificationOptions,
  type StreamOptions,
  type TickroomOptions,
} from "./client.js";
export { TickroomError } from "./errors.js";
export type { Retry } from "./link.js";
export type { MarketStream } from "./market.js";
export type {
  AccountUpdate,
  AlertTriggered,
  Bar,
  Correction,
  ErrorMessage,
  Gap,
  MarketMessage,
  MarketRecord,
  Notification,
  NotificationMessage,
  Prediction,
  Price,
  Skill,
  Split,
  SymbolRecord,
} from "./messages.js";
export type { NotificationStream } from "./notifications.js";
export type { Patience, WebSocketClass, WebSocketLike } from "./socket.js";
export type { TokenSource } from "./tokens.js";
