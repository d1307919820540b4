import { useState } from 'react';
import type { Mode, StreamSnapshot } from '../activity-stream/index.ts';
import { useNow } from '../useNow.ts';
import { stretches } from './figures.ts';

const SPAN = 3 * 60_000;
const WORDS: Record<Mode, string> = { sse: 'stream', degraded: 'stream and polls', polling: 'polls' };

/** Which transport carried the feed when, and why it changed. */
export function TransportTimeline({ snapshot }: { snapshot: StreamSnapshot }) {
  const now = useNow(1_000);
  const [startedAt] = useState(Date.now);
  const { switches, mode } = snapshot;
  return (
    <section aria-labelledby="timeline-title">
      <h3 id="timeline-title">How it arrived</h3>
      <svg className="timeline" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label={`Now by ${WORDS[mode]}`}>
        {stretches(switches, mode, startedAt, now, SPAN).map((one) => (
          <rect key={one.from} data-mode={one.mode} x={one.from * 100} width={Math.max(0, one.to - one.from) * 100} height="10" />
        ))}
      </svg>
      <p className="legend">
        {(['sse', 'degraded', 'polling'] as const).map((one) => <span key={one} data-mode={one}>{WORDS[one]}</span>)}
        <span className="span">last 3 minutes</span>
      </p>
      <ol className="switches" aria-label="Changes of transport, newest first" tabIndex={0}>
        {switches.length === 0 && <li className="none">No change of transport yet: break something, and watch.</li>}
        {[...switches].reverse().map((one) => (
          <li key={`${one.at}${one.to}`} data-mode={one.to}>
            <time dateTime={new Date(one.at).toISOString()}>{new Date(one.at).toLocaleTimeString()}</time>{' '}
            <strong>{one.from} → {one.to}</strong> {one.reason}{one.detail && `: ${one.detail}`}
            <code>since {one.cursor ?? '–'}</code>
          </li>
        ))}
      </ol>
    </section>
  );
}
