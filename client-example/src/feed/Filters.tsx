import { useEffect, useId, useState } from 'react';
import { choices, EVERYTHING, type Filter, type Named } from './filter.ts';
import type { FeedEdge } from './operations.ts';

interface Props {
  edges: readonly FeedEdge[];
  filter: Filter;
  onFilter: (filter: Filter) => void;
}

export function Filters({ edges, filter, onFilter }: Props) {
  // Whoever was seen once stays to be chosen, also while a filter hides them. Edges are at most 500.
  const [seen, setSeen] = useState<readonly FeedEdge[]>([]);
  useEffect(() => {
    if (!filter.mp && !filter.bill) setSeen(edges);
  }, [edges, filter]);
  const { mps, bills } = choices(seen, filter);
  return (
    <div className="filters" role="group" aria-label="Show only">
      <Select label="Member" all="All members" options={mps} chosen={filter.mp} onChoose={(mp) => onFilter({ ...filter, mp })} />
      <Select label="Bill" all="All bills" options={bills} chosen={filter.bill} onChoose={(bill) => onFilter({ ...filter, bill })} />
      {(filter.mp || filter.bill) && <button type="button" onClick={() => onFilter(EVERYTHING)}>Show everything</button>}
    </div>
  );
}

interface SelectProps {
  label: string;
  all: string;
  options: readonly Named[];
  chosen: Named | null;
  onChoose: (one: Named | null) => void;
}

function Select({ label, all, options, chosen, onChoose }: SelectProps) {
  const id = useId();
  return (
    <span className="select">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={chosen?.id ?? ''} onChange={(event) => onChoose(options.find(({ id }) => id === event.target.value) ?? null)}>
        <option value="">{all}</option>
        {options.map(({ id, label }) => <option key={id} value={id}>{label}</option>)}
      </select>
    </span>
  );
}
