// What a snapshot means to a person. Change the sentences, or their language, here.
import type { StreamSnapshot } from './types.ts';

export interface Description {
  /** For colour and shape; `quiet`: nothing to worry about. */
  tone: 'quiet' | 'late' | 'stopped';
  /** Short, always shown: the name of the state. */
  label: string;
  /** A sentence for what is out of the ordinary; empty if nothing is. It does not change while the state does not. */
  text: string;
  /** What changes every second, and should not be read aloud: when the stream is tried again; mostly empty. */
  next: string;
  /** Whether trying now could help. */
  canTry: boolean;
}

/** `now` in milliseconds since 1970. */
export function describe(snapshot: StreamSnapshot, now: number): Description {
  const every = inSeconds(snapshot.pollEvery);
  switch (snapshot.status) {
    case 'connecting':
      return { tone: 'quiet', label: 'Connecting', text: '', next: '', canTry: false };
    case 'live':
      return { tone: 'quiet', label: 'Live', text: '', next: '', canTry: false };
    case 'degraded':
      return { tone: 'late', label: 'Live, late', text: `Updates may be a few seconds late. Checking every ${every}.`, next: '', canTry: false };
    case 'polling': {
      const due = snapshot.nextAttemptAt;
      const next = due === null ? '' : `Next live attempt in ${inSeconds(due - now)}`;
      return { tone: 'late', label: 'Polling', text: `Live updates are paused. Checking every ${every}.`, next, canTry: true };
    }
    case 'offline':
      return { tone: 'stopped', label: 'Offline', text: 'You are offline. We will catch up when you are back.', next: '', canTry: false };
    case 'paused':
      return { tone: 'quiet', label: 'Paused', text: '', next: '', canTry: false };
    case 'signedOut':
      return { tone: 'stopped', label: 'Signed out', text: 'Your session ended. Sign in to continue.', next: '', canTry: true };
    case 'closed':
      return { tone: 'stopped', label: 'Closed', text: '', next: '', canTry: false };
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
