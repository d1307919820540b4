// Every wait, derived from the state: nothing else is armed, so nothing can be forgotten.
import { isAwake, isRunning, type State } from './state.ts';

export type Deadline =
  | 'hide'
  | 'connect'
  | 'successor'
  | 'stall'
  | 'dead'
  | 'lag'
  | 'silence'
  | 'open'
  | 'poll'
  | 'pollTimeout'
  | 'health'
  | 'healthTimeout'
  | 'locate'
  | 'locateTimeout'
  | 'renew'
  | 'renewTimeout'
  | 'acknowledge';

/** What is armed, and for when. Those that are never due are left out. */
export function deadlines(state: State): [Deadline, number][] {
  const { timing, stream, successor } = state;
  const armed: [Deadline, number | null][] = [];
  if (state.started && !state.closed && state.hiddenSince !== null && !state.paused) {
    armed.push(['hide', state.hiddenSince + timing.hide]);
  }
  if (!isAwake(state)) return due(armed);
  armed.push(['renew', state.renewAt], ['renewTimeout', after(state.renewal, timing.answer)]);
  armed.push(['pollTimeout', after(state.poll, timing.answer)], ['healthTimeout', after(state.health, timing.answer)]);
  armed.push(['locateTimeout', after(state.locate, timing.answer)]);
  if (!state.blocked) {
    armed.push(['locate', state.locateAt], ['poll', state.pollAt]);
    if (state.leader) armed.push(['open', state.openAt], ['health', state.healthAt]);
  }
  if (!isRunning(state)) {
    armed.push(['silence', state.heardAt === null ? null : state.heardAt + timing.silence]);
    return due(armed);
  }
  if (stream?.openedAt === null) armed.push(['connect', stream.startedAt + timing.connect]);
  if (stream?.openedAt != null) armed.push(['dead', stream.byteAt + timing.stall + timing.dead]);
  if (successor?.openedAt === null) armed.push(['successor', successor.startedAt + timing.connect]);
  if (state.mode === 'sse') {
    // Whether there is a stream or not: whoever hears nothing for so long shows something old.
    armed.push(['stall', state.heardAt === null ? null : state.heardAt + timing.stall]);
    if (stream?.behindSince != null) armed.push(['lag', stream.behindSince + timing.lag]);
  }
  armed.push(['acknowledge', state.acknowledgeAt]);
  return due(armed);
}

/** When to send the next `tick`; null: nothing is waited for. */
export function nextDeadline(state: State): number | null {
  const times = deadlines(state).map(([, at]) => at);
  return times.length === 0 ? null : Math.min(...times);
}

function after(call: { startedAt: number } | null, span: number): number | null {
  return call === null ? null : call.startedAt + span;
}

function due(armed: [Deadline, number | null][]): [Deadline, number][] {
  return armed.filter((one): one is [Deadline, number] => one[1] !== null);
}
