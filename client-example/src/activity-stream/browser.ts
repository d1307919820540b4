// What the page tells: hidden and shown, on line and off, put aside and taken up again.

export interface PageListener {
  onOnline: (online: boolean) => void;
  onVisible: (visible: boolean) => void;
  /** Frozen, or in the back-forward cache: nothing runs until it is taken up. */
  onAside: (aside: boolean) => void;
}

export interface Page {
  online: boolean;
  visible: boolean;
  /** Stop listening. */
  close(): void;
}

/** Outside a browser a page is always there, and on line. */
export function watchPage(listener: PageListener): Page {
  if (typeof document === 'undefined' || typeof window === 'undefined') return { online: true, visible: true, close() {} };
  const control = new AbortController();
  const on = (target: EventTarget, name: string, handle: (event: Event) => void) =>
    target.addEventListener(name, handle, { signal: control.signal });
  on(window, 'online', () => listener.onOnline(true));
  on(window, 'offline', () => listener.onOnline(false));
  on(document, 'visibilitychange', () => listener.onVisible(!document.hidden));
  on(document, 'freeze', () => listener.onAside(true));
  on(document, 'resume', () => listener.onAside(false));
  on(window, 'pagehide', () => listener.onAside(true));
  on(window, 'pageshow', (event) => (event as PageTransitionEvent).persisted && listener.onAside(false));
  return { online: navigator.onLine, visible: !document.hidden, close: () => control.abort() };
}
