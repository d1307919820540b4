// The rules, one by one, against the simulated server; controller.properties.test.ts mixes everything.
import assert from 'node:assert/strict';
import test from 'node:test';
import { statusOf } from './snapshot.ts';
import type { FaultName } from './testing/server.ts';
import { World, type Tab } from './testing/world.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

/** A world with one tab that has been on the stream for a while. */
function live(seed = 1): { world: World; tab: Tab } {
  const world = new World(seed);
  const tab = world.openTab();
  world.run(20 * SECOND);
  assert.equal(statusOf(tab.state), 'live');
  return { world, tab };
}

/** Publish something every second. */
function busy(world: World, milliseconds: number): void {
  for (let at = 0; at < milliseconds; at += SECOND) {
    world.server.publish();
    world.run(SECOND);
  }
}

const modes = (tab: Tab) => tab.state.switches.map(({ to }) => to);
const lastReason = (tab: Tab) => tab.state.switches.at(-1)?.reason;

test('in a healthy hour there is one stream, no poll, and no question for the health', () => {
  const { world, tab } = live();
  busy(world, 60 * MINUTE);
  const { streams, polls, healthQueries, failures, received } = tab.state.counters;
  assert.deepEqual({ streams, polls, healthQueries, failures }, { streams: 1, polls: 0, healthQueries: 0, failures: 0 });
  assert.ok(received >= 3_590);
});

test('the third failure in a row means polling; the stream is tried after a minute, and trusted once it is proven', () => {
  const { world, tab } = live();
  world.server.faults.add('refuse');
  world.server.cutAll(false);
  world.run(10 * SECOND);
  assert.deepEqual(modes(tab), ['polling']);
  assert.equal(lastReason(tab), 'stream failed');
  assert.equal(tab.state.counters.failures, 3);
  const wait = tab.state.openAt! - tab.state.switches[0]!.at;
  assert.ok(wait >= 48 * SECOND && wait <= 72 * SECOND, `${wait}`);
  world.server.heal();
  world.run(wait + 20 * SECOND);
  assert.deepEqual(modes(tab), ['polling', 'sse']);
  assert.equal(lastReason(tab), 'stream proven');
});

test('while polling fails to bring the stream back, the tries become rarer, up to two minutes', () => {
  const { world, tab } = live();
  world.server.faults.add('refuse');
  world.server.cutAll(false);
  world.run(30 * MINUTE);
  const tries = tab.state.counters.streams - 1;
  assert.ok(tries >= 15 && tries <= 22, `${tries} tries in half an hour`);
});

test('a stream that is silent for 30 s degrades at once, is kept for another 30 s, and then given up', () => {
  const { world, tab } = live();
  world.server.mute();
  world.run(SECOND); // what was under way
  const silentSince = tab.state.heardAt!;
  const stream = tab.state.stream!.id;
  world.run(silentSince + 30 * SECOND - world.now + 1);
  assert.deepEqual(modes(tab), ['degraded']);
  assert.equal(lastReason(tab), 'no byte heard');
  assert.equal(tab.state.stream?.id, stream);
  assert.ok(tab.state.poll !== null || tab.state.pollAt! <= world.now + 2 * SECOND, 'polls beside it');
  world.run(30 * SECOND);
  assert.notEqual(tab.state.stream?.id, stream);
  assert.equal(tab.state.counters.failures, 1);
});

test('a stream whose bookmarks show that it lags is not healthy, whatever it sends', () => {
  const { world, tab } = live();
  world.server.faults.add('lag');
  world.server.publish();
  world.run(25 * SECOND);
  assert.deepEqual(modes(tab), ['degraded']);
  assert.equal(lastReason(tab), 'stream lags');
  assert.equal(tab.state.cursor, world.server.head, 'polled');
});

test('advice to poll is obeyed at once; the stream goes when the first page is here, and comes back on advice', () => {
  const { world, tab } = live();
  world.server.setAdvice('POLLING');
  world.run(4 * SECOND);
  assert.deepEqual(modes(tab), ['polling']);
  assert.equal(lastReason(tab), 'server advice');
  assert.equal(world.server.connections.size, 0);
  const { streams } = tab.state.counters;
  world.run(10 * MINUTE);
  assert.equal(tab.state.counters.streams, streams, 'no stream is tried against advice');
  world.server.setAdvice('SSE');
  world.run(30 * SECOND);
  assert.deepEqual(modes(tab), ['polling', 'sse']);
});

test('advice to degrade keeps the stream and polls beside it', () => {
  const { world, tab } = live();
  world.server.setAdvice('DEGRADED');
  const { polls } = tab.state.counters;
  world.run(MINUTE);
  assert.deepEqual(modes(tab), ['degraded']);
  assert.equal(world.server.connections.size, 1);
  assert.ok(tab.state.counters.polls - polls >= 8);
  world.server.setAdvice('SSE');
  world.run(30 * SECOND);
  assert.deepEqual(modes(tab), ['degraded', 'sse']);
});

test('Retry-After is obeyed', () => {
  const { world, tab } = live();
  world.server.faults.add('overloaded');
  world.server.cutAll(false);
  world.run(5 * SECOND);
  assert.deepEqual(modes(tab), [], 'two failures: the cut, and one refusal');
  assert.ok(tab.state.openAt! >= world.now + 14 * SECOND, 'asked to stay away for 20 s');
});

test('an expired token is renewed, and is no failure of the transport', () => {
  const { world, tab } = live();
  world.server.expireTokens();
  world.server.drain();
  world.run(30 * SECOND);
  assert.equal(statusOf(tab.state), 'live');
  assert.equal(tab.state.counters.failures, 0);
  assert.deepEqual(modes(tab), []);
});

test('a token that is about to expire is replaced without a moment without a stream', () => {
  const { world, tab } = live();
  world.server.reauthenticate();
  for (let i = 0; i < 100; i++) {
    world.run(100);
    assert.ok(tab.state.stream?.openedAt, 'always on a stream that speaks');
  }
  assert.equal(tab.state.counters.streams, 2);
  assert.equal(world.server.connections.size, 1);
});

test('when every token is refused the user is signed out and nothing is sent, until told to try', () => {
  const { world, tab } = live();
  world.server.faults.add('badTokens');
  world.server.cutAll(false);
  world.run(MINUTE);
  assert.equal(statusOf(tab.state), 'signedOut');
  const { counters } = tab.state;
  world.run(60 * MINUTE);
  assert.deepEqual(tab.state.counters, counters);
  world.server.heal();
  tab.send({ kind: 'tryNow' });
  world.run(20 * SECOND);
  assert.equal(statusOf(tab.state), 'live');
});

test('a planned end is no failure, and the server says when to come back', () => {
  const { world, tab } = live();
  world.server.drain();
  world.run(300);
  assert.equal(tab.state.stream, null);
  assert.ok(tab.state.openAt! - world.now >= 1.5 * SECOND);
  world.run(20 * SECOND);
  assert.equal(tab.state.counters.failures, 0);
  assert.equal(statusOf(tab.state), 'live');
});

test('a server that closes every stream in good order does not leave an old screen', () => {
  const { world, tab } = live();
  for (let i = 0; i < 600; i++) {
    world.after(i * SECOND, () => world.server.drain());
  }
  busy(world, 10 * MINUTE);
  assert.ok(tab.screen.worstAge < 40 * SECOND, `${tab.screen.worstAge}`);
});

test('a page that is hidden for a minute closes its stream, and has caught up a moment after it is shown', () => {
  const { world, tab } = live();
  tab.setHidden(true);
  world.run(61 * SECOND);
  assert.equal(statusOf(tab.state), 'paused');
  assert.equal(world.server.connections.size, 0);
  for (let i = 0; i < 5; i++) world.server.publish();
  world.run(30 * MINUTE);
  tab.setHidden(false);
  world.run(SECOND);
  assert.equal(tab.screen.shown.length, 5);
});

test('off line nothing is tried; back on line everything starts afresh', () => {
  const { world, tab } = live();
  world.setOnline(false);
  assert.equal(statusOf(tab.state), 'offline');
  const { streams, polls } = tab.state.counters;
  for (let i = 0; i < 5; i++) world.server.publish();
  world.run(30 * MINUTE);
  assert.deepEqual([tab.state.counters.streams, tab.state.counters.polls], [streams, polls]);
  world.setOnline(true);
  world.run(4 * SECOND);
  assert.equal(tab.screen.shown.length, 5);
  assert.equal(tab.state.counters.failures, 0);
});

test('after a sleep a stream that was silent is replaced at once: nobody tells that its socket is dead', () => {
  const { world, tab } = live();
  world.server.mute();
  tab.setFrozen(true);
  world.run(10 * MINUTE);
  world.server.publish();
  tab.setFrozen(false);
  world.run(SECOND);
  assert.equal(tab.screen.shown.length, 1);
});

test('tabs share one stream, and the next one goes on from its own cursor when the first is closed', () => {
  const { world, tab } = live();
  const second = world.openTab();
  world.run(SECOND);
  busy(world, 10 * SECOND);
  assert.equal(world.server.connections.size, 1);
  assert.equal(second.screen.shown.length, 10);
  assert.equal(statusOf(second.state), 'live');
  world.closeTab(tab);
  busy(world, 10 * SECOND);
  assert.equal(second.screen.shown.length, 20);
  assert.equal(world.server.connections.size, 1);
});

test('a hidden tab gives the lead to one that is looked at', () => {
  const { world, tab } = live();
  const second = world.openTab();
  tab.setHidden(true);
  world.run(SECOND);
  assert.deepEqual([tab.state.leader, second.state.leader], [false, true]);
});

test('what a stream leaves out because it is too much is fetched, and nobody sees a gap', () => {
  const { world, tab } = live();
  world.setOnline(false);
  for (let i = 0; i < 200; i++) world.server.publish();
  world.setOnline(true);
  world.run(5 * SECOND);
  assert.equal(tab.screen.shown.length, 200);
  assert.equal(tab.state.counters.gaps, 0);
});

test('a gap that cannot be fetched is told, and its healing too', () => {
  const { world, tab } = live();
  world.server.publish(true, true);
  world.run(SECOND);
  assert.equal(tab.state.counters.gaps, 1);
  assert.equal(tab.state.openGaps[0]?.reason, 'DEAD_LETTERED');
  world.server.redrive();
  world.run(SECOND);
  const { gaps, recovered } = tab.state.counters;
  assert.deepEqual({ gaps, recovered, open: tab.state.openGaps }, { gaps: 0, recovered: 1, open: [] });
});

test('a cursor that is refused leads to the head of the feed, once, and never into a loop', () => {
  const { world, tab } = live();
  world.server.rejectsCursors = 1_000;
  world.server.cutAll(false);
  world.run(MINUTE);
  assert.ok(tab.state.counters.resets <= 8, `${tab.state.counters.resets} resets in a minute`);
  world.server.rejectsCursors = 0;
  world.run(2 * MINUTE);
  assert.equal(statusOf(tab.state), 'live');
});

test('read marks of other devices are told once; when some were missed, the feed has to be fetched', () => {
  const { world, tab } = live();
  world.server.mark();
  world.run(SECOND);
  assert.equal(tab.state.readState?.version, 2);
  tab.send({ kind: 'readState', readState: { unreadCount: 1, version: 3 } });
  assert.equal(tab.state.readState?.version, 3, 'our own mark is no news');
});

test('an answer to a question that was given up does not count', () => {
  const { world, tab } = live();
  world.server.faults.add('updatesHang');
  world.server.setAdvice('DEGRADED');
  while (tab.state.poll === null) world.run(100);
  const { poll, cursor, advice } = tab.state;
  const beyond = '1999999999999-0';
  const page = { cursor: beyond, head: beyond, hasMore: false, events: [], readState: { unreadCount: 0, version: 9 }, transport: advice! };
  tab.send({ kind: 'polled', id: poll.id - 1, page });
  assert.deepEqual([tab.state.poll, tab.state.cursor], [poll, cursor]);
});

for (const fault of ['refuse', 'hang', 'acceptThenClose', 'stall', 'lag'] satisfies FaultName[]) {
  test(`half an hour of '${fault}' is no reason for an old screen, nor for flapping`, () => {
    const { world, tab } = live(7);
    world.server.faults.add(fault);
    world.server.cutAll(false);
    busy(world, 30 * MINUTE);
    assert.ok(tab.screen.worstAge < 40 * SECOND, `worst age ${tab.screen.worstAge}`);
    assert.ok(tab.state.switches.length <= 3, JSON.stringify(modes(tab)));
  });
}

test('a stream that breaks every seven seconds, or advice that changes every ten, does not make the mode flap', () => {
  const broken = live(3);
  for (let at = 0; at < 30 * MINUTE; at += 7 * SECOND) broken.world.after(at, () => broken.world.server.cutAll(false));
  busy(broken.world, 30 * MINUTE);
  assert.ok(broken.tab.state.switches.length <= 3, JSON.stringify(modes(broken.tab)));

  const advised = live(3);
  for (let at = 0; at < 30 * MINUTE; at += 20 * SECOND) {
    advised.world.after(at, () => advised.world.server.setAdvice('POLLING'));
    advised.world.after(at + 10 * SECOND, () => advised.world.server.setAdvice('SSE'));
  }
  busy(advised.world, 30 * MINUTE);
  assert.ok(advised.tab.state.switches.length <= 12, JSON.stringify(modes(advised.tab)));
});
