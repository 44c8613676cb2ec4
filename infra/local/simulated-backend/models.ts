/** The models that the simulated backend serves, with what an operator enters in the price book for each. */

export interface SimulatedModel {
  id: string;
  kind: "chat" | "embedding" | "image";
  /** Tokens of prompt and output together. */
  contextTokens: number;
  /** The most tokens that one answer may be asked for; 0 where nothing is generated as text. */
  outputTokensMax: number;
  /** Tokens that the template adds to each prompt, whatever it says. */
  templateTokens: number;
  /** Tokens that one image part becomes. */
  imageTokensMax: number;
}

/** Tokens. As a chat template would add; a constant, so that usage can be computed by hand. */
export const templateTokens = 8;

/** Tokens for each image part of a prompt, whatever its size. */
export const imageTokens = 64;

export const simulatedModels: readonly SimulatedModel[] = [
  { id: "simulated-chat", kind: "chat", contextTokens: 32_768, outputTokensMax: 4_096, templateTokens, imageTokensMax: imageTokens },
  // A context that a test can overflow with one kilobyte.
  { id: "simulated-chat-small", kind: "chat", contextTokens: 256, outputTokensMax: 64, templateTokens, imageTokensMax: imageTokens },
  { id: "simulated-embedding", kind: "embedding", contextTokens: 8_192, outputTokensMax: 0, templateTokens, imageTokensMax: 0 },
  { id: "simulated-image", kind: "image", contextTokens: 4_096, outputTokensMax: 0, templateTokens, imageTokensMax: imageTokens },
];
