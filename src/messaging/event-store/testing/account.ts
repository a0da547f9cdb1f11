export type AccountEvent =
  | { readonly type: "deposited"; readonly amount: number }
  | { readonly type: "withdrawn"; readonly amount: number };

export type AccountCommand =
  | { readonly type: "deposit"; readonly amount: number }
  | { readonly type: "withdraw"; readonly amount: number };

export const deposited = (amount: number): AccountEvent => ({ type: "deposited", amount });
export const withdrawn = (amount: number): AccountEvent => ({ type: "withdrawn", amount });

/** An account that is never overdrawn. */
export const account = {
  initial: () => ({ balance: 0 }),
  evolve: ({ balance }: { balance: number }, { type, amount }: AccountEvent) => ({
    balance: type === "deposited" ? balance + amount : balance - amount,
  }),
  decide: ({ type, amount }: AccountCommand, { balance }: { balance: number }): AccountEvent | AccountEvent[] => {
    if (type === "withdraw" && amount > balance) throw new Error(`not enough: ${balance}`);
    if (amount === 0) return [];
    return type === "deposit" ? deposited(amount) : withdrawn(amount);
  },
};
