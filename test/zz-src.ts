import { kernelSource } from "../src/executor/webgpu-source.ts";
console.log(kernelSource({dtype:"f32",op:"sum",unary:"same",when:"before"},{wide:true,inputBuffers:[0,1],writable:[true,false]},false));
