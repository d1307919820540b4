import { useEffect, useMemo, useRef, useState } from 'react';
import { ConnectionStatus } from './activity-stream/react/ConnectionStatus.tsx';
import { Backstage } from './backstage/Backstage.tsx';
import bell from './bell.svg';
import { Filters } from './feed/Filters.tsx';
import { FeedView } from './feed/FeedView.tsx';
import { EVERYTHING, toApi } from './feed/filter.ts';
import { useFeed } from './feed/useFeed.ts';
import { IdentityPicker, TokenForm } from './identity/IdentityPicker.tsx';
import { loadChoice, saveChoice, tokenOf, type Choice, type Config } from './identity/identities.ts';
import { createSession, type Session } from './session.ts';
import { ThemeSwitch } from './ThemeSwitch.tsx';
import { useAnnouncement } from './useAnnouncement.ts';

interface Props {
  config: Config;
  reload: () => Promise<Config>;
}

export function App({ config, reload }: Props) {
  const [choice, setChoice] = useState(() => loadChoice(sessionStorage, config.identities));
  const session = useMemo(() => createSession(config, choice, reload), [config, choice, reload]);

  function change(next: Choice) {
    setChoice(next);
    saveChoice(sessionStorage, next);
  }

  const signIn = choice.name === null && <TokenForm choice={choice} onChange={change} />;
  const picker = <IdentityPicker identities={config.identities} choice={choice} onChange={change} />;
  if (tokenOf(choice, config.identities) === null) {
    return (
      <>
        <header className="top"><Brand />{picker}<ThemeSwitch /></header>
        {signIn}
      </>
    );
  }
  // Another reader is another page: nothing of the one before is kept.
  return <Reading key={session.viewer} config={config} session={session} picker={picker} signIn={signIn} />;
}

interface ReadingProps {
  config: Config;
  session: Session;
  picker: React.ReactNode;
  signIn: React.ReactNode;
}

function Reading({ config, session, picker, signIn }: ReadingProps) {
  const [filter, setFilter] = useState(EVERYTHING);
  const chosen = useMemo(() => toApi(filter), [filter]);
  const column = useRef<HTMLElement>(null);
  const feed = useFeed(session, chosen, config.demo.speed, () => isAtTop(column.current));
  const announcement = useAnnouncement(feed.snapshot.counters.received);
  const { unread, snapshot } = feed;
  const wide = useMedia('(min-width: 56rem)');
  const [opened, setOpened] = useState(false);
  useEffect(() => {
    document.title = unread ? `(${unread}) Division Bell` : 'Division Bell';
  }, [unread]);

  return (
    <>
      <a className="skip" href="#feed">To the feed</a>
      <header className="top">
        <Brand />
        <p className="badge" data-unread={unread ?? ''}>{unread === null ? '…' : <><strong>{unread.toLocaleString()}</strong> unread</>}</p>
        {picker}
        <ThemeSwitch />
        <nav>
          {!wide && <a href="#backstage" onClick={() => setOpened(true)}>Backstage</a>}
          <a href="./graphql">API explorer</a>
        </nav>
      </header>
      {signIn}
      <section className="connection" aria-label="Connection">
        <ConnectionStatus snapshot={snapshot} onTryNow={feed.tryNow} />
      </section>
      <p className="hidden" role="status" data-announcement>{announcement}</p>
      <div className="columns">
        <main id="feed" ref={column} tabIndex={-1} aria-labelledby="feed-title">
          <div className="column-top">
            <h2 id="feed-title">Feed</h2>
            <Filters edges={feed.edges} filter={filter} onFilter={setFilter} />
            <button type="button" onClick={feed.markAllRead} disabled={!unread}>{chosen ? 'Mark these read' : 'Mark all read'}</button>
          </div>
          <FeedView feed={feed} filter={filter} onFilter={setFilter} />
        </main>
        <aside id="backstage" aria-labelledby="backstage-title">
          <details open={wide || opened} onToggle={(event) => setOpened(event.currentTarget.open)}>
            <summary><h2 id="backstage-title">Backstage</h2></summary>
            <Backstage config={config} session={session} snapshot={snapshot} />
            <p className="keys"><kbd>J</kbd> <kbd>K</kbd> move · <kbd>M</kbd> mark read · <kbd>.</kbd> show new</p>
          </details>
        </aside>
      </div>
    </>
  );
}

function Brand() {
  return (
    <div className="brand">
      <img src={bell} alt="" width="30" height="30" />
      <h1>Division Bell <span>what MPs and bills do, as it happens</span></h1>
    </div>
  );
}

/** Nobody has scrolled down, or is in the middle of the feed with the keyboard. */
function isAtTop(column: HTMLElement | null): boolean {
  const card = column?.contains(document.activeElement) ? document.activeElement?.closest('.card') : null;
  return window.scrollY < 160 && (!card || card === column?.querySelector('.card'));
}

function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const follow = () => setMatches(media.matches);
    media.addEventListener('change', follow);
    return () => media.removeEventListener('change', follow);
  }, [query]);
  return matches;
}
