import assert from 'node:assert/strict';
import test from 'node:test';
import type { Activity, DeliveredEvent } from '../activity-stream/index.ts';
import { arrived, edgesOf, MOST_KEPT, withArrived, withRead, type FeedData } from './merging.ts';

const activity = (id: number): Activity => ({
  id: String(id), type: 'SPEECH', title: `Title ${id}`, summary: null, url: null, occurredAt: '2026-01-01T00:00:00Z', mp: null, bill: null,
});
const added = (id: number): DeliveredEvent => ({
  __typename: 'ActivityAdded', cursor: `${id}-0`, publishedAt: '2026-01-01T00:00:00Z', deliveryAttempt: 1, activity: activity(id),
});
const feed = (...pages: number[][]): FeedData => ({
  pages: pages.map((ids) => ({
    head: '9-0',
    unreadCount: 0,
    edges: ids.map((id) => ({ id: `v:${id}`, isRead: false, node: activity(id) })),
    pageInfo: { hasNextPage: true, endCursor: `after ${ids.at(-1)}` },
  })),
  pageParams: pages.map(() => null),
});
const ids = (data: FeedData) => edgesOf(data).map((edge) => Number(edge.node.id));

test('what arrives is put on top, newest first', () => {
  assert.deepEqual(ids(withArrived(feed([2, 1]), arrived([added(3), added(4)]))), [4, 3, 2, 1]);
});

test('an activity that is there already is not shown twice', () => {
  const before = feed([3, 2], [1]);
  assert.deepEqual(ids(withArrived(before, arrived([added(1), added(4), added(4)]))), [4, 3, 2, 1]);
  assert.equal(withArrived(before, arrived([added(2)])), before);
});

test('the activities of a gap that healed are merged', () => {
  const healed: DeliveredEvent = { __typename: 'GapHealed', cursor: '5-0', since: '2-0', through: '3-0', activities: [activity(3)] };
  assert.deepEqual(ids(withArrived(feed([2]), arrived([healed]))), [3, 2]);
});

test('memory is bounded, and older ones can no longer be asked for by a cursor that is gone', () => {
  const full = withArrived(feed([2, 1], [0]), Array.from({ length: MOST_KEPT - 1 }, (_, n) => activity(n + 100)));
  assert.equal(ids(full).length, MOST_KEPT);
  assert.equal(full.pages.length, 1);
  assert.equal(full.pages[0]?.pageInfo.hasNextPage, false);
});

test('what is marked is read, and nothing else changes', () => {
  const data = feed([2, 1], [0]);
  assert.deepEqual(edgesOf(withRead(data, ['1'])).map((edge) => edge.isRead), [false, true, false]);
  assert.deepEqual(edgesOf(withRead(data, null)).map((edge) => edge.isRead), [true, true, true]);
  assert.equal(withRead(data, ['7']), data);
});
