import { describeFullProduct } from "./full-product.ts";

describeFullProduct(2, 9918);
