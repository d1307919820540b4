// What a snapshot means to a person. Change the sentences, or their language, here.
import type { StreamSnapshot } from './types.ts';

export interface Description {
  /** For colour and shape; `quiet`: nothing to worry about. */
  tone: 'quiet' | 'late' | 'stopped';
  /** Short, always shown: the name of the state. */
  label: string;
  /** A sentence for what is out of the ordinary; empty if nothing is. */
  text: string;
  /** Whether trying now could help. */
  canTry: boolean;
}

/** `now` in milliseconds since 1970. */
export function describe(snapshot: StreamSnapshot, now: number): Description {
  const every = inSeconds(snapshot.pollEvery);
  switch (snapshot.status) {
    case 'connecting':
      return { tone: 'quiet', label: 'Connecting', text: '', canTry: false };
    case 'live':
      return { tone: 'quiet', label: 'Live', text: '', canTry: false };
    case 'degraded':
      return { tone: 'late', label: 'Live, late', text: `Updates may be a few seconds late. Checking every ${every}.`, canTry: false };
    case 'polling': {
      const next = snapshot.nextAttemptAt === null ? '' : ` · next live attempt in ${inSeconds(snapshot.nextAttemptAt - now)}`;
      return { tone: 'late', label: 'Polling', text: `Live updates are paused. Checking every ${every}${next}`, canTry: true };
    }
    case 'offline':
      return { tone: 'stopped', label: 'Offline', text: 'You are offline. We will catch up when you are back.', canTry: false };
    case 'paused':
      return { tone: 'quiet', label: 'Paused', text: '', canTry: false };
    case 'signedOut':
      return { tone: 'stopped', label: 'Signed out', text: 'Your session ended. Sign in to continue.', canTry: true };
    case 'closed':
      return { tone: 'stopped', label: 'Closed', text: '', canTry: false };
  }
}

/** "last update 4 s ago"; empty before the first. */
export function describeAge(snapshot: StreamSnapshot, now: number): string {
  return snapshot.lastHeardAt === null ? '' : `last update ${inSeconds(now - snapshot.lastHeardAt)} ago`;
}

function inSeconds(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
