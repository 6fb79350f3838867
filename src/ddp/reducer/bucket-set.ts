/** BucketSet: the buckets of a Reducer, and where each parameter's gradient lies in them. */
import type { ProcessGroup } from "../../group/process-group.ts";
import type { Tensor } from "../../types.ts";
import { computeBucketAssignmentBySize } from "../bucket-assignment.ts";
import { GradBucket } from "../grad-bucket.ts";
import { FlatBuffer } from "./flat-buffer.ts";
import type { KnownParameter } from "./parameter.ts";

/** The gradients of some parameters, flat. */
export interface Bucket {
  /** The parameters, in the order in which their gradients lie. */
  readonly indices: readonly number[];
  readonly parameters: readonly KnownParameter[];
  readonly flat: FlatBuffer;
}

/** Where a parameter's gradient lies. */
interface Place {
  /** The bucket's number. */
  readonly bucket: number;
  readonly flat: FlatBuffer;
  readonly part: number;
}

/** What is told of a bucket, without its memory. */
export interface BucketFacts {
  readonly indices: readonly number[];
  /** Bytes of its gradients, without padding. */
  readonly bytes: number;
}

export function factsOfBucket({ indices, parameters }: Bucket): BucketFacts {
  return { indices, bytes: parameters.reduce((bytes, { view }) => bytes + view.byteLength, 0) };
}

/** The bucket as a comm hook gets it. */
export function gradBucketOf({ flat, parameters }: Bucket, index: number, isLast: boolean): GradBucket {
  return new GradBucket({ index, buffer: flat.tensor, offsets: flat.offsets, parameters, isLast });
}

export class BucketSet {
  /** In the order in which they are fired. */
  buckets: readonly Bucket[];
  /** The buckets of the first step. */
  readonly first: readonly BucketFacts[];
  hasRebuilt = false;
  readonly #group: ProcessGroup;
  readonly #parameters: readonly KnownParameter[];
  readonly #limits: readonly number[];
  #places: readonly Place[];
  /** Buckets that others have replaced, whose views the caller may hold. */
  #replaced: readonly Bucket[] = [];

  /** Buckets for the parameters in the reverse of their order, in which a backward pass reaches them. `limits` as for {@link computeBucketAssignmentBySize}. */
  constructor(group: ProcessGroup, parameters: readonly KnownParameter[], limits: readonly number[]) {
    this.#group = group;
    this.#parameters = parameters;
    this.#limits = limits;
    this.buckets = this.#bucketsFor([...parameters.keys()].reverse());
    this.first = this.buckets.map(factsOfBucket);
    this.#places = placesIn(this.buckets);
  }

  /** Buckets for the parameters in this order, in place of the present ones, which live until {@link freeReplaced}. */
  rebuild(order: readonly number[]): void {
    this.#replaced = this.buckets;
    this.buckets = this.#bucketsFor(order);
    this.#places = placesIn(this.buckets);
    this.hasRebuilt = true;
  }

  freeReplaced(): void {
    for (const { flat } of this.#replaced) flat.destroy();
    this.#replaced = [];
  }

  destroy(): void {
    this.freeReplaced();
    for (const { flat } of this.buckets) flat.destroy();
  }

  /** The number of the bucket in which this parameter's gradient lies. */
  bucketOf(index: number): number {
    return this.#placeOf(index).bucket;
  }

  /** This parameter's gradient, a view. */
  gradient(index: number): Tensor {
    const { flat, part } = this.#placeOf(index);
    return flat.part(part);
  }

  write(index: number, gradient: Tensor): void {
    const { flat, part } = this.#placeOf(index);
    flat.write(part, gradient);
  }

  add(index: number, gradient: Tensor): void {
    const { flat, part } = this.#placeOf(index);
    flat.add(part, gradient);
  }

  read(index: number, into: Tensor): void {
    const { flat, part } = this.#placeOf(index);
    flat.read(part, into);
  }

  clear(index: number): void {
    const { flat, part } = this.#placeOf(index);
    flat.clear(part);
  }

  #placeOf(index: number): Place {
    const place = this.#places[index];
    if (!place) throw new RangeError(`no bucket has parameter ${index}`);
    return place;
  }

  #bucketsFor(order: readonly number[]): readonly Bucket[] {
    const tensors = order.flatMap((index) => this.#parameters[index]?.tensor ?? []);
    const [assignment] = computeBucketAssignmentBySize(tensors, this.#limits, [], order);
    return assignment.map((indices) => {
      const parameters = indices.flatMap((index) => this.#parameters[index] ?? []);
      const views = parameters.map(({ view }) => view);
      return { indices, parameters, flat: new FlatBuffer(this.#group, views) };
    });
  }
}

function placesIn(buckets: readonly Bucket[]): readonly Place[] {
  const places: Place[] = [];
  for (const [bucket, { indices, flat }] of buckets.entries()) {
    for (const [part, index] of indices.entries()) places[index] = { bucket, flat, part };
  }
  return places;
}
