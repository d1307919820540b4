import { useEffect, useState } from 'react';
import { describe, describeAge, type StreamSnapshot } from '../index.ts';

/** Trouble that is over sooner is not worth a word. */
const PATIENCE = 2_500;

interface Props {
  snapshot: StreamSnapshot;
  onTryNow: () => void;
  /** Milliseconds since 1970; for tests and pictures. */
  clock?: () => number;
}

/** A dot with the name of the state; when something is out of the ordinary for long enough, a sentence about it. */
export function ConnectionStatus({ snapshot, onTryNow, clock = Date.now }: Props) {
  const now = useNow(clock);
  const { tone, label, text, next, canTry } = describe(snapshot, now);
  const shown = useLasting(text);
  return (
    <div className="connection-status" data-tone={tone} data-status={snapshot.status}>
      <span className="connection-status__dot" aria-hidden="true" />
      <span className="connection-status__label">{label}</span>
      <span className="connection-status__age">{describeAge(snapshot, now)}</span>
      {/* Always there, or screen readers do not notice what comes into it. What changes every second stays outside. */}
      <span className="connection-status__text" role="status">
        {shown}
      </span>
      {shown && next && <span className="connection-status__next">{next}</span>}
      {shown && canTry && (
        <button type="button" className="connection-status__try" onClick={onTryNow}>
          Try now
        </button>
      )}
    </div>
  );
}

/** `text` once it has been there for a while; empty at once when it is gone, and the next one at once after the last. */
function useLasting(text: string): string {
  const wanted = text !== '';
  const [lasting, setLasting] = useState(false);
  useEffect(() => {
    if (!wanted) {
      setLasting(false);
      return;
    }
    const timer = setTimeout(() => setLasting(true), PATIENCE);
    return () => clearTimeout(timer);
  }, [wanted]);
  return wanted && lasting ? text : '';
}

function useNow(clock: () => number): number {
  const [now, setNow] = useState(clock);
  useEffect(() => {
    const timer = setInterval(() => setNow(clock()), 1_000);
    return () => clearInterval(timer);
  }, [clock]);
  return now;
}
