/** What a key may be allowed to do. */
export const scopes = ["chat", "embeddings", "images", "models", "usage"] as const;

/** What a usage event may name as its endpoint: a closed list, so that no path a caller made up is stored. */
export const endpoints = ["chat.completions", "completions", "embeddings", "images.generations", "images.edits", "images.variations"] as const;

/** What a model does; it decides which endpoints take it and which price lines count. */
export const modelKinds = ["chat", "embedding", "image"] as const;
