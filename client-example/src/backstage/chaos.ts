// Ordering faults of the demo: see schema/chaos.py of the server.
import type { Session } from '../session.ts';

export interface Fault {
  name: string;
  label: string;
  /** What happens, in a sentence. */
  about: string;
  /** What can be ordered to end it; faults without happen once. */
  end?: string;
}

export const FAULTS: readonly Fault[] = [
  { name: 'redis', label: 'Stop Redis', end: 'Start Redis', about: 'Redis is stopped. The server advises polling; nothing is lost.' },
  { name: 'stall', label: 'Stall my stream', end: 'Let it flow', about: 'Your stream stays open and says nothing, like a stuck proxy.' },
  { name: 'cut', label: 'Cut my stream', about: 'Your stream was cut. It resumes from its cursor.' },
  { name: 'refuse', label: 'Refuse my streams', end: 'Allow streams', about: 'Your stream is cut, and new ones are refused with 503.' },
  { name: 'flood', label: 'Flood: 500', about: '500 activities were published at once.' },
  { name: 'expire', label: 'Expire my token', about: 'Your token no longer counts. The page gets another; that is no failure.' },
];

/** Seconds until each fault that is there heals. */
export type SecondsLeft = Partial<Record<string, number>>;

export async function look(session: Session): Promise<SecondsLeft> {
  return send(session, {});
}

/** Order a fault or its end. Throws an Error with the server's sentence. */
export async function order(session: Session, fault: string, on: boolean): Promise<SecondsLeft> {
  const left = await post(session, fault, on);
  // Refusing new streams shows nothing while the old one lives.
  return fault === 'refuse' && on ? post(session, 'cut', true) : left;
}

const post = (session: Session, fault: string, on: boolean) =>
  send(session, { method: 'POST', body: JSON.stringify({ fault, on }) });

async function send(session: Session, init: RequestInit): Promise<SecondsLeft> {
  const token = await session.token({ renew: false });
  const response = await fetch(new URL('demo/chaos', session.endpoint), {
    ...init,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  });
  const body = (await response.json()) as { secondsLeft?: SecondsLeft; errors?: { message: string }[] };
  if (!body.secondsLeft) throw new Error(body.errors?.[0]?.message ?? `The server answered ${response.status}.`);
  return body.secondsLeft;
}
