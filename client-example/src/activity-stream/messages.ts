// What the controller is told, what it wants done, and what tabs tell each other.
import type { Batch } from './gate.ts';
import type {
  Cursor,
  FeedUpdates,
  GapHealed,
  ReadState,
  ReadStateChanged,
  ServerEvent,
  TransportAdvice,
} from './operations.ts';
import type { DeliveredEvent, Mode, Status, SwitchReason, Via } from './types.ts';

/** What went wrong with a request, as far as it matters here. */
export interface Fault {
  /** `auth`: the token was refused. `cursor`: the server cannot go on from our cursor. `failed`: everything else. */
  kind: 'auth' | 'cursor' | 'failed';
  /** For developers. */
  detail: string;
  /** Milliseconds; what `Retry-After` says. */
  retryAfter?: number;
}

/** What the leading tab says of itself. */
export interface LeaderStatus {
  status: Status;
  mode: Mode;
  reason: SwitchReason;
  detail: string | null;
  nextAttemptAt: number | null;
  advice: TransportAdvice | null;
  head: Cursor | null;
  readState: ReadState | null;
}

/** What tabs tell each other. */
export type TabMessage =
  | { kind: 'batch'; batch: Batch; status: LeaderStatus }
  | { kind: 'other'; event: GapHealed | ReadStateChanged }
  | { kind: 'reset'; reason: string }
  | { kind: 'status'; status: LeaderStatus }
  /** Is anybody leading? */
  | { kind: 'hello' }
  | { kind: 'tryNow' };

export type Input =
  | { kind: 'start'; cursor: Cursor | null }
  | { kind: 'close' }
  | { kind: 'leader'; leader: boolean }
  | { kind: 'online' | 'offline' | 'hidden' | 'visible' | 'woke' | 'tick' | 'tryNow' }
  | { kind: 'bytes'; id: number }
  | { kind: 'frame'; id: number; event: ServerEvent }
  | { kind: 'ended'; id: number; fault: Fault }
  | { kind: 'polled'; id: number; page: FeedUpdates }
  | { kind: 'advised'; id: number; advice: TransportAdvice }
  | { kind: 'located'; id: number; head: Cursor }
  | { kind: 'renewed'; id: number }
  /** `signedOut`: there is no token to be had. */
  | { kind: 'failed'; id: number; fault: Fault; signedOut?: boolean }
  | { kind: 'tab'; message: TabMessage }
  | { kind: 'readState'; readState: ReadState };

export type Effect =
  | { kind: 'open'; id: number; since: Cursor }
  | { kind: 'poll'; id: number; since: Cursor }
  | { kind: 'health' | 'renew'; id: number }
  /** `reason`: why the feed has to be loaded anew; null for the first time. */
  | { kind: 'locate'; id: number; reason: string | null }
  /** Stop what goes by this ID; nothing that it still says counts. */
  | { kind: 'abort'; id: number }
  | { kind: 'acknowledge'; through: Cursor }
  | { kind: 'deliver'; events: DeliveredEvent[]; via: Via }
  | { kind: 'tell'; message: TabMessage };
