import { useEffect, useRef, useState } from 'react';

const EVERY = 10_000;

/** "4 new activities", every ten seconds at most: a screen reader is to know, and not to be kept from reading. */
export function useAnnouncement(received: number): string {
  const latest = useRef(received);
  latest.current = received;
  const [text, setText] = useState('');
  useEffect(() => {
    let said = latest.current;
    const timer = setInterval(() => {
      const fresh = latest.current - said;
      said = latest.current;
      setText(fresh <= 0 ? '' : fresh === 1 ? '1 new activity' : `${fresh} new activities`);
    }, EVERY);
    return () => clearInterval(timer);
  }, []);
  return text;
}
