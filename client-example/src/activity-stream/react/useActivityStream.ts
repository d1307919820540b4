import { useEffect, useLayoutEffect, useRef, useState, useSyncExternalStore } from 'react';
import {
  createActivityStream, EMPTY_SNAPSHOT,
  type ActivityStream, type ActivityStreamOptions, type Change, type ReadState, type StreamSnapshot,
} from '../index.ts';

export interface FollowedStream {
  snapshot: StreamSnapshot;
  tryNow: () => void;
  noteReadState: (state: ReadState) => void;
}

/**
 * Follow a stream while the component is mounted. Another viewer, endpoint, filter or device is another stream; functions
 * may change with every render. `options` null: follow nothing yet. `onChange` gets the events: see `ActivityStream`.
 */
export function useActivityStream(
  options: ActivityStreamOptions | null,
  onChange?: (change: Change) => void,
): FollowedStream {
  const latest = useRef({ options, onChange });
  useLayoutEffect(() => {
    latest.current = { options, onChange };
  });

  const [stream, setStream] = useState<ActivityStream | null>(null);
  const identity = options && identityOf(options);
  useEffect(() => {
    if (identity === null) return;
    const opened = createActivityStream(withLatest(() => latest.current.options!));
    const end = opened.subscribe((change) => latest.current.onChange?.(change));
    setStream(opened);
    return () => {
      end();
      opened.close();
      setStream(null);
    };
  }, [identity]);

  const snapshot = useSyncExternalStore(stream?.subscribe ?? subscribeToNothing, stream?.snapshot ?? empty, empty);
  const [actions] = useState(() => {
    const current: { stream: ActivityStream | null } = { stream: null };
    return {
      current,
      tryNow: () => current.stream?.tryNow(),
      noteReadState: (state: ReadState) => current.stream?.noteReadState(state),
    };
  });
  useLayoutEffect(() => {
    actions.current.stream = stream;
  }, [actions, stream]);
  return { snapshot, tryNow: actions.tryNow, noteReadState: actions.noteReadState };
}

/** What makes it another stream. */
function identityOf({ endpoint, viewer, filter, device, confirm, shareTabs, speed }: ActivityStreamOptions): string {
  return JSON.stringify([endpoint, viewer, filter, device, confirm, shareTabs, speed]);
}

/** The options as they are now, with functions that stay up to date. */
function withLatest(current: () => ActivityStreamOptions): ActivityStreamOptions {
  const { token, refetchFeed, ...rest } = current();
  return {
    ...rest,
    ...(token && { token: (ask) => current().token?.(ask) ?? null }),
    ...(refetchFeed && { refetchFeed: () => current().refetchFeed!() }),
  };
}

const subscribeToNothing = () => () => {};
const empty = () => EMPTY_SNAPSHOT;
