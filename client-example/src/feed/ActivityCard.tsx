import type { Activity } from '../activity-stream/index.ts';
import type { FeedEdge } from './operations.ts';

const TYPES: Record<Activity['type'], string> = {
  SPEECH: 'Speech', QUESTION: 'Question', ANSWER: 'Answer', VOTE: 'Vote', BILL_INTRODUCED: 'New bill', BILL_PROGRESS: 'Bill',
  COMMITTEE: 'Committee', PETITION: 'Petition', STATEMENT: 'Statement', PROCEDURE: 'Procedure', OTHER: 'Other',
};

interface Props {
  edge: FeedEdge;
  position: number;
  now: number;
  onRead: () => void;
  onMp: (mp: NonNullable<Activity['mp']>) => void;
  onBill: (bill: NonNullable<Activity['bill']>) => void;
}

export function ActivityCard({ edge, position, now, onRead, onMp, onBill }: Props) {
  const { node, isRead } = edge;
  const title = `activity-${node.id}`;
  return (
    <article
      className="card" data-read={isRead} data-id={node.id} tabIndex={0}
      aria-labelledby={title} aria-posinset={position} aria-setsize={-1}
    >
      <div className="card-top">
        <span className="type" data-type={node.type}>{TYPES[node.type] ?? node.type}</span>
        {!isRead && <span className="unread">Unread</span>}
        <time dateTime={node.occurredAt} title={new Date(node.occurredAt).toLocaleString()}>{ago(node.occurredAt, now)}</time>
      </div>
      <h3 id={title}>{node.url ? <a href={node.url} rel="noreferrer noopener" target="_blank">{node.title}</a> : node.title}</h3>
      {node.summary && node.summary !== node.title && <p>{node.summary}</p>}
      <Division title={node.title} />
      <div className="card-bottom">
        {node.mp && (
          <button type="button" className="chip" title="Only this member" onClick={() => onMp(node.mp!)}>
            {node.mp.name}{node.mp.party && <span> · {node.mp.party}</span>}
          </button>
        )}
        {node.bill && (
          <button type="button" className="chip" title={`Only this bill: ${node.bill.title}`} onClick={() => onBill(node.bill!)}>
            {node.bill.number}
          </button>
        )}
        {!isRead && <button type="button" className="plain" onClick={onRead}>Mark read</button>}
      </div>
    </article>
  );
}

/** The result of a vote as a bar, where the title tells it; the words stay beside it. */
function Division({ title }: { title: string }) {
  const [, ayes, noes] = /Ayes (\d+), Noes (\d+)/.exec(title) ?? [];
  if (ayes === undefined || noes === undefined) return null;
  const share = (100 * Number(ayes)) / Math.max(1, Number(ayes) + Number(noes));
  return (
    <svg className="division" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
      <rect className="ayes" width={share} height="4" />
      <rect className="noes" x={share} width={100 - share} height="4" />
    </svg>
  );
}

export function ago(iso: string, now: number): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(iso)) / 1_000));
  if (seconds < 60) return seconds < 5 ? 'now' : `${seconds} s ago`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ago`;
  return new Date(iso).toLocaleDateString(undefined, { day: 'numeric', month: 'short' });
}
