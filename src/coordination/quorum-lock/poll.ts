/** How a question to all engines came out, as far as it was waited for. */
export interface Poll {
  /** Whether as many as needed said yes. */
  readonly carried: boolean;
  /** What went wrong at those that gave no answer. */
  readonly errors: readonly unknown[];
}

/** Asks all at once and waits until enough have said yes, or so many have not that it cannot come to that any more. Never rejects. */
export function poll(answers: readonly Promise<boolean>[], needed: number): Promise<Poll> {
  return new Promise((resolve) => {
    const errors: unknown[] = [];
    let yes = 0;
    let pending = answers.length;
    const decide = (): void => {
      if (yes >= needed) resolve({ carried: true, errors });
      else if (yes + pending < needed) resolve({ carried: false, errors });
    };
    for (const answer of answers) {
      answer
        .then(
          (said) => {
            if (said) yes++;
          },
          (error: unknown) => {
            errors.push(error);
          },
        )
        .then(() => {
          pending--;
          decide();
        });
    }
  });
}
