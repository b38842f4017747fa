//! The filter of system calls for jobs, as a program for the kernel. It refuses calls that leave state in the kernel after a
//! job, calls that make a job the administrator of a namespace, and calls that builds do not need but attacks on the kernel
//! use.
//!
//! `clone3` fails as an unknown call, because a filter cannot read its flags: C libraries fall back to `clone`.

/// The numbers of the calls on one architecture.
struct Calls {
    /// The kernel's id of the architecture.
    architecture: u32,
    clone: u32,
    unshare: u32,
    /// `add_key`, `request_key`, `keyctl`, `bpf`, `perf_event_open`, `userfaultfd`, in this order.
    refused: [u32; 6],
    /// Numbers from here on belong to another architecture.
    end: u32,
}

/// The same on every architecture: `io_uring_setup`, `io_uring_enter`, `io_uring_register`.
const IO_URING: [u32; 3] = [425, 426, 427];
const CLONE3: u32 = 435;
/// The flag for a new user namespace.
const CLONE_NEWUSER: u32 = 0x1000_0000;

const X86_64: Calls = Calls {
    architecture: 0xc000_003e,
    clone: 56,
    unshare: 272,
    refused: [248, 249, 250, 321, 298, 323],
    // The calls of x32 follow.
    end: 0x4000_0000,
};
const I386: Calls = Calls {
    architecture: 0x4000_0003,
    clone: 120,
    unshare: 310,
    refused: [286, 287, 288, 357, 336, 374],
    end: u32::MAX,
};
const AARCH64: Calls = Calls {
    architecture: 0xc000_00b7,
    clone: 220,
    unshare: 97,
    refused: [217, 218, 219, 280, 241, 282],
    end: u32::MAX,
};

/// Loads a word of the description of a call: its number, the architecture, or the low half of the first argument.
const LOAD: u16 = 0x20;
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENT: u32 = 16;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;
const ALLOW: u32 = 0x7fff_0000;
/// Fails the call with the error number in the low bits.
const ERROR: u32 = 0x0005_0000;
const NOT_PERMITTED: u32 = ERROR | 1;
const NO_SUCH_CALL: u32 = ERROR | 38;

/// Returns the filter for this architecture in the format of bubblewrap, or none for an unsupported architecture.
pub(super) fn filter() -> Option<Vec<u8>> {
    let architectures: &[Calls] = match std::env::consts::ARCH {
        "x86_64" => &[X86_64, I386],
        "aarch64" => &[AARCH64],
        _ => return None,
    };
    let mut program = Program::default();
    program.then(LOAD, ARCHITECTURE);
    for calls in architectures {
        let block = block(calls);
        let length = u32::try_from(block.0.len()).unwrap_or(u32::MAX);
        program.step(IF_EQUAL, 1, 0, calls.architecture);
        program.then(JUMP, length);
        program.0.extend(block.0);
    }
    program.then(RETURN, NO_SUCH_CALL);
    Some(program.0.into_iter().flatten().collect())
}

fn block(calls: &Calls) -> Program {
    let mut program = Program::default();
    program.then(LOAD, NUMBER);
    program.step(IF_AT_LEAST, 0, 1, calls.end);
    program.then(RETURN, NO_SUCH_CALL);
    for number in calls.refused.into_iter().chain(IO_URING) {
        program.step(IF_EQUAL, 0, 1, number);
        program.then(RETURN, NOT_PERMITTED);
    }
    program.step(IF_EQUAL, 0, 1, CLONE3);
    program.then(RETURN, NO_SUCH_CALL);
    for number in [calls.clone, calls.unshare] {
        program.step(IF_EQUAL, 0, 4, number);
        program.then(LOAD, ARGUMENT);
        program.step(IF_ANY_BIT, 0, 1, CLONE_NEWUSER);
        program.then(RETURN, NOT_PERMITTED);
        program.then(RETURN, ALLOW);
    }
    program.then(RETURN, ALLOW);
    program
}

/// Instructions of eight bytes: an operation, the number of instructions to skip if it is true or false, and an operand.
#[derive(Default)]
struct Program(Vec<[u8; 8]>);

impl Program {
    fn step(&mut self, code: u16, if_true: u8, if_false: u8, number: u32) {
        let (code, number) = (code.to_ne_bytes(), number.to_ne_bytes());
        self.0.push([
            code[0], code[1], if_true, if_false, number[0], number[1], number[2], number[3],
        ]);
    }

    fn then(&mut self, code: u16, number: u32) {
        self.step(code, 0, 0, number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program on a call as the kernel does, and returns its answer.
    fn answer(program: &Program, architecture: u32, number: u32, argument: u32) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = program.0[at];
            let code = u16::from_ne_bytes([step[0], step[1]]);
            let value = u32::from_ne_bytes([step[4], step[5], step[6], step[7]]);
            let skipped = |holds: bool| usize::from(if holds { step[2] } else { step[3] });
            at += 1 + match code {
                LOAD => {
                    loaded = match value {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        ARGUMENT => argument,
                        other => panic!("no field at offset {other}"),
                    };
                    0
                }
                JUMP => usize::try_from(value).expect("a short program"),
                IF_EQUAL => skipped(loaded == value),
                IF_AT_LEAST => skipped(loaded >= value),
                IF_ANY_BIT => skipped(loaded & value != 0),
                RETURN => return value,
                other => panic!("unknown instruction {other}"),
            };
        }
    }

    fn program() -> Program {
        let bytes = filter().expect("a filter for this machine");
        let (steps, rest) = bytes.as_chunks::<8>();
        assert_eq!(rest, [] as [u8; 0]);
        Program(steps.to_vec())
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn x32_calls_are_unknown() {
        const X32: u32 = 0x4000_0000;
        let program = program();
        for number in [39, X86_64.unshare, 512, 547] {
            assert_eq!(
                answer(&program, X86_64.architecture, X32 + number, 0),
                NO_SUCH_CALL,
                "{number}"
            );
        }
        assert_eq!(
            answer(&program, X86_64.architecture, 39, 0),
            ALLOW,
            "`getpid` of an ordinary program"
        );
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn programs_of_32_bits_are_filtered_by_their_own_numbers() {
        let program = program();
        for number in I386.refused.into_iter().chain(IO_URING) {
            assert_eq!(
                answer(&program, I386.architecture, number, 0),
                NOT_PERMITTED,
                "{number}"
            );
        }
        for number in [I386.clone, I386.unshare] {
            assert_eq!(
                answer(&program, I386.architecture, number, CLONE_NEWUSER),
                NOT_PERMITTED,
                "{number}"
            );
            assert_eq!(answer(&program, I386.architecture, number, 0), ALLOW, "{number}");
        }
        assert_eq!(answer(&program, I386.architecture, CLONE3, 0), NO_SUCH_CALL);
        assert_eq!(answer(&program, I386.architecture, 20, 0), ALLOW, "`getpid`");
    }

    #[test]
    fn programs_of_an_unknown_architecture_can_make_no_call() {
        let program = program();
        assert_eq!(answer(&program, 0x4000_0028, 20, 0), NO_SUCH_CALL);
    }
}
