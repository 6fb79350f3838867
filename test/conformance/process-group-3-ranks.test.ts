import { describeFullProduct } from "./full-product.ts";

describeFullProduct(3, 9918);
