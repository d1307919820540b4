// Random faults against a simulated server, on a virtual clock. RUNS=20000 for a long night.
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { compareCursors } from './cursor.ts';
import { FAULTS } from './testing/server.ts';
import { World, type Tab } from './testing/world.ts';

const RUNS = Number(process.env.RUNS ?? 300);
const SECOND = 1_000;

type Deed = (world: World) => void;

/** A step of a history, by name, so that a counterexample can be read. */
interface Named {
  name: string;
  deed: Deed;
}

const named = (name: string, deed: Deed): Named => ({ name, deed, toString: () => name }) as Named;
const always = (name: string, deed: Deed) => fc.constant(named(name, deed));
const pick = (world: World, n: number): Tab => world.tabs[n % world.tabs.length]!;
const anyTab = fc.nat({ max: 3 });

const wait = fc.integer({ min: 1, max: 90 * SECOND }).map((ms) => named(`wait ${ms}`, (world) => world.run(ms)));
const publish = fc
  .record({ many: fc.integer({ min: 1, max: 30 }), matches: fc.boolean(), spacing: fc.integer({ min: 0, max: 300 }) })
  .map(({ many, matches, spacing }) =>
    named(`publish ${many} ${matches} ${spacing}`, (world) => {
      for (let i = 0; i < many; i++) world.after(i * spacing, () => world.server.publish(matches || i % 3 === 0));
    }));
const fault = fc
  .record({ fault: fc.constantFrom(...FAULTS), lasts: fc.integer({ min: SECOND, max: 300 * SECOND }) })
  .map(({ fault, lasts }) =>
    named(`${fault} for ${lasts}`, (world) => {
      world.server.faults.add(fault);
      world.after(lasts, () => world.server.recover(fault));
    }));
const onTab = (name: string, deed: (tab: Tab, world: World) => void) =>
  anyTab.map((n) => named(`${name} tab ${n}`, (world) => world.tabs.length > 0 && deed(pick(world, n), world)));

const steps = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: wait },
    { weight: 6, arbitrary: publish },
    { weight: 5, arbitrary: fault },
    always('cut', (world) => world.server.cutAll(false)),
    always('mute', (world) => world.server.mute()),
    always('drain', (world) => world.server.drain()),
    always('dead letter', (world) => world.server.publish(true, true)),
    always('redrive', (world) => world.server.redrive()),
    always('mark', (world) => world.server.mark()),
    always('expire tokens', (world) => world.server.expireTokens()),
    always('reauthenticate', (world) => world.server.reauthenticate()),
    always('invalid cursor', (world) => void (world.server.rejectsCursors = 1)),
    fc.integer({ min: 1, max: 6 }).map((n) => named(`restore ${n}`, (world) => world.server.restore(n))),
    fc.constantFrom('SSE', 'DEGRADED', 'POLLING').map((m) => named(`advise ${m}`, (world) => world.server.setAdvice(m))),
    always('offline', (world) => world.setOnline(false)),
    always('online', (world) => world.setOnline(true)),
    always('open tab', (world) => void (world.tabs.length < 4 && world.openTab())),
    onTab('close', (tab, world) => world.tabs.length > 1 && world.closeTab(tab)),
    onTab('hide', (tab) => tab.setHidden(true)),
    onTab('show', (tab) => tab.setHidden(false)),
    onTab('freeze', (tab) => tab.setFrozen(true)),
    onTab('thaw', (tab) => tab.setFrozen(false)),
    onTab('try now', (tab) => tab.send({ kind: 'tryNow' })),
  ),
  { maxLength: 40, size: 'max' },
);

/** Nothing fails any more, and everybody is back. */
function heal(world: World): void {
  world.server.heal();
  world.setOnline(true);
  for (const tab of world.tabs) {
    tab.setFrozen(false);
    tab.setHidden(false);
  }
}

/** How long after everything was well the stream is trusted again, at most. */
const BACK_WITHIN = 240 * SECOND;

function play(seed: number, confirms: boolean, history: Named[]): World {
  const world = new World(seed, confirms);
  world.openTab();
  for (const { deed } of history) deed(world);
  heal(world);
  world.server.redrive();
  world.run(30 * SECOND);
  // A token that was bad may be refused once more after that, and only a user comes back from being signed out.
  for (const tab of world.tabs) if (tab.state.signedOut) tab.send({ kind: 'tryNow' });
  world.run(BACK_WITHIN);
  // Everything that can be known is known by now.
  for (let i = 0; i < 5; i++) world.after(i * SECOND, () => world.server.publish());
  world.run(20 * SECOND);
  return world;
}

test('whatever fails, no tab shows an activity twice, leaves one out, or stays away from the stream', () => {
  fc.assert(
    fc.property(fc.integer(), fc.boolean(), steps, (seed, confirms, history) => {
      const world = play(seed, confirms, history);
      const { server, leader } = world;

      assert.ok(leader, 'one tab leads');
      assert.equal(leader.state.mode, 'sse', 'NOT BACK on the stream');
      assert.equal(server.connections.size, 1, 'one stream at rest');
      for (const tab of world.tabs) {
        assert.equal(compareCursors(tab.state.cursor!, server.head), 0, 'BEHIND: a tab has not caught up');
        assert.equal(tab.state.mode, 'sse');
        // Of an entry that a restored backup took back while a poll went past it, nobody can know that it never was.
        const known = tab.state.openGaps.filter((gap) => !server.tookBackUnnoticed(gap.through));
        assert.deepEqual(known, [], 'a gap that was made good still shows');
        assert.equal(tab.state.counters.gaps, tab.state.openGaps.length);
        assert.equal(tab.state.readState?.version ?? server.readState.version, server.readState.version, 'read state');
        assert.equal(tab.state.poll, null, 'nobody polls at rest');
      }
      if (confirms) assert.equal(server.acknowledged, server.head, 'everything is acknowledged');
    }),
    {
      numRuns: RUNS,
      includeErrorInReport: true,
      ...(process.env.SEED && { seed: Number(process.env.SEED) }),
      // Whoever only wants to know that something is wrong need not wait for the shortest history.
      endOnFailure: process.env.SHRINK === 'no',
    },
  );
});
