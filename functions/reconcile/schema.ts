/** What leaves reconcile. Nothing enters: whom to ask is configured. */
import { z } from "zod";

/** `outOfBand`: models whose capture rate the operator is told of. */
export const ReconcileAnswer = z.strictObject({ models: z.int(), outOfBand: z.int(), enginesMissing: z.int() });
export type ReconcileAnswer = z.output<typeof ReconcileAnswer>;
