import assert from 'node:assert/strict';
import test from 'node:test';
import { renderToStaticMarkup } from 'react-dom/server';
import { EMPTY_SNAPSHOT, type StreamSnapshot } from '../index.ts';
import { ConnectionStatus } from './ConnectionStatus.tsx';
import { useActivityStream } from './useActivityStream.ts';

const render = (change: Partial<StreamSnapshot>) =>
  renderToStaticMarkup(
    <ConnectionStatus snapshot={{ ...EMPTY_SNAPSHOT, ...change }} onTryNow={() => {}} clock={() => 10_000} />,
  );

test('a live stream shows its name and its age, and says nothing', () => {
  const html = render({ status: 'live', lastHeardAt: 6_000 });
  assert.match(html, /data-tone="quiet"/);
  assert.match(html, />Live</);
  assert.match(html, /last update 4 s ago/);
  assert.match(html, /role="status"><\/span>/);
});

test('trouble that has just begun has a name, and no words yet', () => {
  const html = render({ status: 'polling', mode: 'polling' });
  assert.match(html, />Polling</);
  assert.doesNotMatch(html, /paused|Try now/);
});

test('before it is mounted, and on a server, the hook shows that nothing has happened', () => {
  const seen: StreamSnapshot[] = [];
  function Follower() {
    seen.push(useActivityStream({ endpoint: '/graphql', viewer: 'alice' }).snapshot);
    return null;
  }
  renderToStaticMarkup(<Follower />);
  assert.deepEqual(seen, [EMPTY_SNAPSHOT]);
});
