import { describeFullProduct } from "./full-product.ts";

describeFullProduct(2, 8838);
