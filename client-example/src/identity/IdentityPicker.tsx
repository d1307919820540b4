import { useId, useState, type FormEvent } from 'react';
import { cleanToken, type Choice, type Identity } from './identities.ts';

interface Props {
  identities: readonly Identity[];
  choice: Choice;
  onChange: (choice: Choice) => void;
}

/** "Reader ▾": who the requests are sent as. A native select, so keyboard, screen reader and phone know it already. */
export function IdentityPicker({ identities, choice, onChange }: Props) {
  const id = useId();
  const chosen = identities.find((identity) => identity.name === choice.name);
  return (
    <div className="identity">
      {chosen && <span className="identity-hint" id={`${id}-hint`}>{chosen.description}</span>}
      <label htmlFor={id}>Identity</label>
      <select
        id={id}
        value={choice.name ?? ''}
        aria-describedby={chosen ? `${id}-hint` : undefined}
        onChange={(event) => onChange({ ...choice, name: event.target.value || null })}
      >
        {identities.map(({ name }) => <option key={name} value={name}>{name}</option>)}
        <option value="">Own token</option>
      </select>
    </div>
  );
}

/** Shown while the own token is chosen: where to paste it and, while there is none, how to get one. */
export function TokenForm({ choice, onChange }: Omit<Props, 'identities'>) {
  const id = useId();
  const [text, setText] = useState('');
  const hasToken = choice.pasted !== '';

  function submit(event: FormEvent) {
    event.preventDefault();
    const pasted = cleanToken(text);
    setText('');
    if (pasted) onChange({ name: null, pasted });
  }

  return (
    <form className="token" onSubmit={submit} aria-labelledby={`${id}-title`}>
      <p id={`${id}-title`} role="status">
        {hasToken ? 'Requests carry the token that you pasted, until this browser tab is closed.' : (
          <>
            <strong>Paste an access token to start.</strong> The server’s operator makes one with{' '}
            <code>python -m cli token --user alice --scope read</code>
          </>
        )}
      </p>
      <div className="token-entry">
        <label htmlFor={id}>{hasToken ? 'Another token' : 'Access token'}</label>
        <input
          id={id} type="password" autoComplete="off" spellCheck={false} placeholder="eyJ…"
          value={text} onChange={(event) => setText(event.target.value)}
        />
        <button type="submit" disabled={cleanToken(text) === ''}>Use it</button>
        {hasToken && <button type="button" onClick={() => onChange({ name: null, pasted: '' })}>Forget it</button>}
      </div>
    </form>
  );
}
