/** Retries that do not wait. */
export const quick = { retry: { attempts: 3, base: 1, cap: 2 } } as const;
