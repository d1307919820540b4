// When to do something, in place of at once.
import { useCallback, useEffect, useRef } from 'react';

/** Collect what comes for a moment, and hand it over together. What was collected of another `of` is dropped. */
export function useBatches<T>(handle: (batch: T[]) => void, every: number, of: unknown): (one: T) => void {
  const latest = useRef(handle);
  latest.current = handle;
  const collected = useRef<{ batch: T[]; timer: ReturnType<typeof setTimeout> | null }>({ batch: [], timer: null });
  useEffect(() => () => {
    if (collected.current.timer !== null) clearTimeout(collected.current.timer);
    collected.current = { batch: [], timer: null };
  }, [of]);
  return useCallback((one: T) => {
    const { current } = collected;
    current.batch.push(one);
    current.timer ??= setTimeout(() => {
      const { batch } = current;
      current.batch = [];
      current.timer = null;
      latest.current(batch);
    }, every);
  }, [every]);
}

/** Call when nothing has asked for it for a while; at the latest after four times that. */
export function useSettled(call: () => void, after: number): () => void {
  const latest = useRef(call);
  latest.current = call;
  const asked = useRef<{ timer: ReturnType<typeof setTimeout> | null; since: number }>({ timer: null, since: 0 });
  useEffect(() => () => {
    if (asked.current.timer !== null) clearTimeout(asked.current.timer);
    asked.current.timer = null;
  }, []);
  return useCallback(() => {
    const { current } = asked;
    if (current.timer === null) current.since = Date.now();
    else clearTimeout(current.timer);
    const left = Math.min(after, Math.max(0, current.since + 4 * after - Date.now()));
    current.timer = setTimeout(() => {
      current.timer = null;
      latest.current();
    }, left);
  }, [after]);
}
