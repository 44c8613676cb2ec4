/** The smallest document that a simple JSON schema accepts: what structured output and tool arguments answer. */

/** Nesting that a schema may have before a recursive one is given up with null. */
const depthMax = 16;

type Schema = Record<string, unknown>;

export function instanceOf(schema: unknown, root: unknown = schema, depth = 0): unknown {
  if (!isObject(schema) || depth > depthMax) return null;
  if (typeof schema.$ref === "string") return instanceOf(resolve(schema.$ref, root), root, depth + 1);
  if ("const" in schema) return schema.const;
  if (Array.isArray(schema.enum)) return schema.enum[0];
  const choice = [schema.anyOf, schema.oneOf].find(Array.isArray);
  if (choice) return instanceOf(choice[0], root, depth + 1);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === "object" || isObject(schema.properties)) {
    const properties = isObject(schema.properties) ? schema.properties : {};
    return Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, instanceOf(each, root, depth + 1)]));
  }
  if (type === "array") {
    const length = typeof schema.minItems === "number" ? Math.max(1, schema.minItems) : 1;
    return Array.from({ length }, () => instanceOf(schema.items, root, depth + 1));
  }
  if (type === "string") return "simulated";
  if (type === "integer" || type === "number") return typeof schema.minimum === "number" ? schema.minimum : 1;
  if (type === "boolean") return true;
  return null;
}

/** `#/$defs/name` within the document's root. */
function resolve(reference: string, root: unknown): unknown {
  return reference
    .split("/")
    .slice(1)
    .reduce<unknown>((at, name) => (isObject(at) ? at[name] : undefined), root);
}

function isObject(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
