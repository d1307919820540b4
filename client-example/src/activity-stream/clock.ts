/** A sleep, or a timer that comes later than this, is noticed. */
const SLEPT = 15_000;

/**
 * Milliseconds since 1970 that never go back when somebody sets the computer's clock, and that jump ahead after a sleep,
 * during which `performance.now` stands still on some systems.
 */
export class Clock {
  private ahead = Date.now() - performance.now();
  private due: number | null = null;

  now(): number {
    return performance.now() + this.ahead;
  }

  /** When the next timer is expected. */
  expect(at: number | null): void {
    this.due = at;
  }

  /** Whether the computer was asleep, or this page not allowed to run, since it was last asked. */
  wasAsleep(): boolean {
    const stoodStill = Date.now() - this.now() > SLEPT;
    if (stoodStill) this.ahead = Date.now() - performance.now();
    const late = this.due !== null && this.now() - this.due > SLEPT;
    if (late) this.due = null;
    return stoodStill || late;
  }
}
