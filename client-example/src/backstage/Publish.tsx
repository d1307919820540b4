import { useMutation } from '@tanstack/react-query';
import { useId, useMemo, useState, type FormEvent } from 'react';
import { request } from '../api.ts';
import { PUBLISH } from '../feed/operations.ts';
import type { Config } from '../identity/identities.ts';
import { createSession, type Session } from '../session.ts';

const PRESS_OFFICE = 'Press office';

interface Props {
  config: Config;
  session: Session;
}

/** In the demo as the press office, whoever reads; elsewhere with the reader's own token, if it may. */
export function Publish({ config, session }: Props) {
  const id = useId();
  const [title, setTitle] = useState('');
  const press = config.identities.some(({ name }) => name === PRESS_OFFICE);
  const author = useMemo(
    () => (press ? createSession(config, { name: PRESS_OFFICE, pasted: '' }, async () => config) : session),
    [press, config, session],
  );
  const publishing = useMutation({
    mutationFn: async (text: string) => {
      const { publishActivity } = await request(author, PUBLISH, { type: 'STATEMENT', title: text });
      if (publishActivity.__typename === 'ActivityRefused') throw new Error(publishActivity.message);
    },
    onSuccess: () => setTitle(''),
  });

  function submit(event: FormEvent) {
    event.preventDefault();
    if (title.trim()) publishing.mutate(title.trim());
  }

  return (
    <section aria-labelledby={`${id}-title`}>
      <h3 id={`${id}-title`}>Publish something yourself</h3>
      <form className="publish" onSubmit={submit}>
        <label htmlFor={id} className="hidden">What happened?</label>
        <input id={id} value={title} maxLength={200} placeholder="What happened?" onChange={(event) => setTitle(event.target.value)} />
        <button type="submit" disabled={!title.trim() || publishing.isPending}>Publish</button>
      </form>
      <p className="hint" role="status">
        {publishing.error?.message
          ?? (publishing.isSuccess ? 'Published: it reaches every open feed.' : press ? 'As the press office, to everybody.' : '')}
      </p>
    </section>
  );
}
