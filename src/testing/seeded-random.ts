/** The generator of support/, for people who write tests with `webccl/testing`. */
export { SeededRandom } from "../support/seeded-random.ts";
