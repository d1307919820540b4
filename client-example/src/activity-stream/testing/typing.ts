// The TypeScript types that the schema gives an operation, to hold those of operations.ts against.
import {
  getNullableType, isAbstractType, isEnumType, isInputObjectType, isListType, isNonNullType, isObjectType, isScalarType,
  Kind, parse, typeFromAST,
  type FieldNode, type FragmentDefinitionNode, type GraphQLInputType, type GraphQLObjectType, type GraphQLOutputType,
  type GraphQLSchema, type OperationDefinitionNode, type SelectionSetNode,
} from 'graphql';

const SCALARS: Record<string, string> = {
  ID: 'string', String: 'string', Cursor: 'string', DateTime: 'string', Int: 'number', Float: 'number', Boolean: 'boolean',
};

/** The type of an operation's `data`, and of the variables it takes. */
export function typesOf(schema: GraphQLSchema, query: string): { data: string; variables: string } {
  const { definitions } = parse(query);
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const one of definitions) if (one.kind === Kind.FRAGMENT_DEFINITION) fragments.set(one.name.value, one);
  const operation = definitions.find((one): one is OperationDefinitionNode => one.kind === Kind.OPERATION_DEFINITION)!;
  const writer = new Writer(schema, fragments);
  const variables = (operation.variableDefinitions ?? []).map(({ variable, type, defaultValue }) => {
    const wanted = typeFromAST(schema, type as never) as GraphQLInputType;
    return `${variable.name.value}${isNonNullType(wanted) && !defaultValue ? '' : '?'}: ${writer.input(wanted)}`;
  });
  const root = schema.getRootType(operation.operation)!;
  return { data: writer.object(root, [operation.selectionSet]), variables: `{ ${variables.join('; ')} }` };
}

class Writer {
  private readonly schema: GraphQLSchema;
  private readonly fragments: Map<string, FragmentDefinitionNode>;

  constructor(schema: GraphQLSchema, fragments: Map<string, FragmentDefinitionNode>) {
    this.schema = schema;
    this.fragments = fragments;
  }

  object(type: GraphQLObjectType, selections: SelectionSetNode[]): string {
    const fields = new Map<string, FieldNode[]>();
    for (const selection of selections) this.collect(type, selection, fields);
    const members = [...fields].map(([key, nodes]) => {
      const name = nodes[0]!.name.value;
      if (name === '__typename') return `${key}: '${type.name}'`;
      const inner = nodes.flatMap((node) => node.selectionSet ?? []);
      return `${key}: ${this.output(type.getFields()[name]!.type, inner)}`;
    });
    return `{ ${members.join('; ')} }`;
  }

  /** The fields that are selected of an object, those of fragments that apply to it included. */
  private collect(type: GraphQLObjectType, { selections }: SelectionSetNode, fields: Map<string, FieldNode[]>): void {
    for (const one of selections) {
      if (one.kind === Kind.FIELD) {
        const key = one.alias?.value ?? one.name.value;
        fields.set(key, [...(fields.get(key) ?? []), one]);
        continue;
      }
      const fragment = one.kind === Kind.FRAGMENT_SPREAD ? this.fragments.get(one.name.value)! : one;
      const on = fragment.typeCondition?.name.value ?? type.name;
      const applies = on === type.name || type.getInterfaces().some(({ name }) => name === on);
      if (applies) this.collect(type, fragment.selectionSet, fields);
    }
  }

  private output(type: GraphQLOutputType, selections: SelectionSetNode[]): string {
    if (!isNonNullType(type)) return `${this.some(type, selections)} | null`;
    return this.some(getNullableType(type), selections);
  }

  private some(type: GraphQLOutputType, selections: SelectionSetNode[]): string {
    if (isListType(type)) return `(${this.output(type.ofType, selections)})[]`;
    if (isScalarType(type)) return SCALARS[type.name] ?? 'unknown';
    if (isEnumType(type)) return `(${type.getValues().map(({ name }) => `'${name}'`).join(' | ')})`;
    if (isObjectType(type)) return this.object(type, selections);
    if (!isAbstractType(type)) throw new Error(`an output of an unknown kind: ${String(type)}`);
    return `(${this.schema.getPossibleTypes(type).map((one) => this.object(one, selections)).join(' | ')})`;
  }

  input(type: GraphQLInputType): string {
    if (isNonNullType(type)) return this.given(type.ofType);
    return `${this.given(type)} | null`;
  }

  private given(type: GraphQLInputType): string {
    if (isListType(type)) return `(${this.input(type.ofType)})[]`;
    if (isScalarType(type)) return SCALARS[type.name] ?? 'unknown';
    if (isEnumType(type)) return `(${type.getValues().map(({ name }) => `'${name}'`).join(' | ')})`;
    if (!isInputObjectType(type)) throw new Error(`an input of an unknown kind: ${String(type)}`);
    const fields = Object.values(type.getFields());
    const members = fields.map((field) => `${field.name}${isNonNullType(field.type) ? '' : '?'}: ${this.input(field.type)}`);
    return `{ ${members.join('; ')} }`;
  }
}
