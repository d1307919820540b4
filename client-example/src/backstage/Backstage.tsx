import type { StreamSnapshot } from '../activity-stream/index.ts';
import type { Config } from '../identity/identities.ts';
import type { Session } from '../session.ts';
import { ChaosPanel } from './ChaosPanel.tsx';
import { inMilliseconds, line, percentile } from './figures.ts';
import { Publish } from './Publish.tsx';
import { TransportTimeline } from './TransportTimeline.tsx';

interface Props {
  config: Config;
  session: Session;
  snapshot: StreamSnapshot;
}

/** Why the feed on the left is as it is. */
export function Backstage({ config, session, snapshot }: Props) {
  return (
    <>
      {config.demo.faults.length > 0 && <ChaosPanel session={session} demo={config.demo} />}
      <TransportTimeline snapshot={snapshot} />
      <section aria-labelledby="counters-title">
        <h3 id="counters-title">What arrived</h3>
        <Counters snapshot={snapshot} />
        <Latency latencies={snapshot.latencies} />
      </section>
      <Publish config={config} session={session} />
    </>
  );
}

function Counters({ snapshot: { counters, cursor, leader } }: { snapshot: StreamSnapshot }) {
  const shown: [name: string, value: number | string, title: string][] = [
    ['received', counters.received, 'Activities that reached this page'],
    ['duplicates held', counters.duplicates, 'Came a second time, by another transport or tab, and were not shown again'],
    ['gaps', counters.gaps, 'Activities that are known to be missing, and were not made good'],
    ['polls', counters.polls, 'Pages of updates fetched'],
    ['streams', counters.streams, 'Streams opened'],
  ];
  return (
    <>
      <dl className="counters">
        {shown.map(([name, value, title]) => (
          <div key={name} title={title} data-counter={name} data-bad={name === 'gaps' && value !== 0}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <p className="cursor">cursor <code data-cursor>{cursor ?? '–'}</code>{leader ? '' : ' · from another tab'}</p>
    </>
  );
}

function Latency({ latencies }: { latencies: readonly number[] }) {
  const [p50, p95] = [percentile(latencies, 0.5), percentile(latencies, 0.95)].map(inMilliseconds);
  return (
    <figure className="latency">
      <figcaption>
        From publication to this page <span>p50 {p50} · p95 {p95}</span>
      </figcaption>
      <svg viewBox="0 -2 200 36" preserveAspectRatio="none" role="img" aria-label={`Latency: median ${p50}, 95 of 100 within ${p95}`}>
        <polyline points={line(latencies.slice(-60), 200, 32)} />
      </svg>
    </figure>
  );
}
