import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useNow } from '../useNow.ts';
import type { Demo } from '../identity/identities.ts';
import type { Session } from '../session.ts';
import { FAULTS, look, order, type Fault } from './chaos.ts';

interface Props {
  session: Session;
  demo: Demo;
}

/** Break it, and watch what the page makes of it. */
export function ChaosPanel({ session, demo }: Props) {
  const client = useQueryClient();
  const key = ['chaos', session.viewer];
  const left = useQuery({
    queryKey: key,
    queryFn: () => look(session),
    retry: false,
    refetchInterval: ({ state }) => (state.data && Object.keys(state.data).length > 0 ? 2_000 : false),
  });
  const now = useNow(500);
  const ordering = useMutation({
    mutationFn: ({ fault, on }: { fault: Fault; on: boolean }) => order(session, fault.name, on),
    onSuccess: (data) => client.setQueryData(key, data),
  });
  const remaining = (name: string) => {
    const seconds = left.data?.[name];
    return seconds === undefined ? null : Math.max(0, Math.ceil(seconds - (now - left.dataUpdatedAt) / 1_000));
  };
  const last = ordering.variables;
  return (
    <section className="chaos" aria-labelledby="chaos-title">
      <h3 id="chaos-title">Break it</h3>
      <div className="faults">
        {FAULTS.filter(({ name }) => demo.faults.includes(name)).map((fault) => {
          const seconds = remaining(fault.name);
          const on = seconds === null || !fault.end;
          return (
            <button
              key={fault.name} type="button" data-fault={fault.name} aria-pressed={fault.end ? !on : undefined}
              disabled={ordering.isPending} onClick={() => ordering.mutate({ fault, on })}
            >
              {on ? fault.label : fault.end}
              {seconds !== null && <span className="heals" aria-hidden="true"> {seconds} s</span>}
            </button>
          );
        })}
        <button type="button" onClick={() => window.open(location.href, '_blank', 'noopener')}>Open another tab</button>
      </div>
      <p className="hint" role="status">
        {ordering.error?.message
          ?? (last && ordering.isSuccess && last.on ? last.fault.about : 'Every fault heals by itself after 20 s.')}
        {demo.speed !== 1 && ` Timers run ${demo.speed} times as fast here.`}
      </p>
    </section>
  );
}
