package pagewire.tests;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs one of Kafka's command-line tools inside this JVM, as if it had been started alone: its own standard streams, its exit
 * code instead of an exit. One at a time, since the streams are the process's.
 */
final class Tool {
    /**
     * Thrown in place of ending the process. Some tools catch whatever leaves their work, report it and exit once more: only the
     * first exit counts, and nothing printed after it is theirs.
     */
    private static final class Exited extends RuntimeException {
        private static final long serialVersionUID = 1L;

        Exited() {
            super(null, null, false, false);
        }
    }

    private static final PrintStream NOWHERE = new PrintStream(OutputStream.nullOutputStream());
    private static volatile Integer firstExitCode;

    private Tool() {}

    /** Runs {@code main} of the named class; what it prints on either stream goes to {@code output}. Returns its exit code. */
    static synchronized int run(String className, String[] arguments, String standardInput, Path output) throws Exception {
        firstExitCode = null;
        Exit.setExitProcedure((code, message) -> exit(code));
        Exit.setHaltProcedure((code, message) -> exit(code));
        // A tool's shutdown hooks close its clients; they are kept and run when the tool is done.
        java.util.List<Runnable> hooks = new java.util.ArrayList<>();
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        InputStream inputBefore = System.in;
        PrintStream outputBefore = System.out;
        PrintStream errorBefore = System.err;
        try (PrintStream captured = new PrintStream(new java.io.BufferedOutputStream(new java.io.FileOutputStream(output.toFile()), 1 << 16), false, "UTF-8")) {
            System.setIn(new ByteArrayInputStream(standardInput.getBytes(StandardCharsets.UTF_8)));
            System.setOut(captured);
            System.setErr(captured);
            try {
                // Console streams of Scala are thread-local copies taken at start, so they are set too.
                return scala.Console.withOut(captured, () -> scala.Console.withErr(captured, () -> call(className, arguments, captured)));
            } finally {
                hooks.forEach(Runnable::run);
            }
        } finally {
            System.setIn(inputBefore);
            System.setOut(outputBefore);
            System.setErr(errorBefore);
            Exit.resetExitProcedure();
            Exit.resetHaltProcedure();
            Exit.resetShutdownHookAdder();
        }
    }

    private static void exit(int code) {
        if (firstExitCode == null) {
            firstExitCode = code;
        }
        System.setOut(NOWHERE);
        System.setErr(NOWHERE);
        throw new Exited();
    }

    private static int call(String className, String[] arguments, PrintStream captured) {
        try {
            Class.forName(className).getMethod("main", String[].class).invoke(null, (Object) arguments);
            return firstExitCode == null ? 0 : firstExitCode;
        } catch (InvocationTargetException failed) {
            if (firstExitCode != null) {
                return firstExitCode;
            }
            // What the JVM would do with an exception that leaves main.
            captured.print("Exception in thread \"main\" ");
            failed.getCause().printStackTrace(captured);
            return 1;
        } catch (ReflectiveOperationException unknown) {
            throw new IllegalArgumentException("no tool with a main method: " + className, unknown);
        }
    }
}
