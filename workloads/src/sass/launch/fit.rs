//! Whether a launch fits a kernel.

use super::Launch;
use super::argument::Value;
use crate::sass::error::SassError;
use crate::sass::kernel::Kernel;
use crate::sass::tensor_map;

impl Launch {
    /// Whether the kernel can be launched like this: geometry, resources, arguments.
    ///
    /// # Errors
    /// [`SassError`] with the line of this launch that the kernel or its architecture does not allow.
    pub fn fit(&self, kernel: &Kernel) -> Result<(), SassError> {
        let [grid_line, block_line, shared_line] = self.lines;
        let error = |line: u32, message: String, help: String| Err(SassError::new(&self.file, line, message, help));
        if self.kernel != kernel.name {
            let message = format!("launches `{}`, but the kernel is `{}`", self.kernel, kernel.name);
            return error(0, message, "choose the launch of this kernel".into());
        }
        let limits = kernel.limits();
        for (key, sides, most, line) in
            [("grid", self.grid, limits.grid, grid_line), ("block", self.block, limits.block, block_line)]
        {
            if (0..3).any(|axis| sides[axis] == 0 || sides[axis] > most[axis]) {
                let help = format!("each side is at least 1; {} allows up to {most:?}", limits.arch);
                return error(line, format!("{key} = {sides:?} cannot be launched"), help);
            }
        }
        let threads = self.threads_per_block();
        let allowed = kernel.metadata.max_threads.unwrap_or(limits.threads_per_block).min(limits.threads_per_block);
        if threads > allowed {
            let message = format!("block = {:?} has {threads} threads", self.block);
            let by = if allowed < limits.threads_per_block { "the kernel's __launch_bounds__" } else { limits.arch };
            return error(block_line, message, format!("{by} allows {allowed} threads a block"));
        }
        let per_warp = (kernel.metadata.registers * 32).next_multiple_of(limits.register_unit);
        let registers = per_warp * self.warps_per_block();
        if registers > limits.registers {
            let message = format!("a block of {threads} threads needs {registers} registers");
            let most = limits.registers / per_warp * 32;
            let help = format!(
                "an SM has {}; with {} a thread, {most} threads fit",
                limits.registers, kernel.metadata.registers
            );
            return error(block_line, message, help);
        }
        let shared = u64::from(kernel.metadata.static_shared_bytes) + u64::from(self.dynamic_shared_bytes);
        if shared > u64::from(limits.shared_bytes_per_block) {
            let message = format!("a block needs {shared} bytes of shared memory");
            let help = format!("{} allows {} bytes a block", limits.arch, limits.shared_bytes_per_block);
            return error(shared_line, message, help);
        }
        self.arguments_fit(kernel)
    }

    fn arguments_fit(&self, kernel: &Kernel) -> Result<(), SassError> {
        let parameters = &kernel.metadata.parameters;
        for (position, (parameter, argument)) in parameters.iter().zip(&self.arguments).enumerate() {
            let (size, what) = match &argument.value {
                Value::Scalar(bytes) => (bytes.len(), format!("a scalar {}", argument.element.name())),
                Value::Buffer { .. } => (8, "the address of a buffer".to_owned()),
                Value::TensorMap { .. } => (tensor_map::BYTES, "a tensor map".to_owned()),
            };
            if size as u32 != parameter.size_bytes {
                let message = format!(
                    "argument {position} (`{}`) is {what}, {size} bytes, but the kernel's parameter has {}",
                    argument.name, parameter.size_bytes
                );
                let help = match parameter.size_bytes {
                    8 => "a buffer, or a scalar of type i64, u64 or f64",
                    128 => "a tensor map (kind = \"tensor_map\")",
                    4 => "a scalar of type i32, u32 or f32",
                    _ => "parameters of this size (structures) cannot be given in a launch file yet",
                };
                return Err(SassError::new(&self.file, argument.line, message, help));
            }
        }
        if parameters.len() != self.arguments.len() {
            let last = self.arguments.last().map_or(0, |argument| argument.line);
            let message =
                format!("gives {} arguments, but `{}` takes {}", self.arguments.len(), kernel.name, parameters.len());
            let help = match parameters.get(self.arguments.len()) {
                Some(missing) => {
                    format!("argument {} of {} bytes is missing", self.arguments.len(), missing.size_bytes)
                }
                None => "remove the last `[[arg]]`".to_owned(),
            };
            return Err(SassError::new(&self.file, last, message, help));
        }
        Ok(())
    }
}
